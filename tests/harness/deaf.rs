//! A target that is reached like any other until it is deafened: from then on connecting to it hangs.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;

use super::{ms, own_address};

/// A listening socket that accepts until it is deafened: then connecting to it hangs.
pub struct Deaf {
    address: SocketAddr,
    accepting: Option<JoinHandle<TcpListener>>,
    enough: tokio::sync::watch::Sender<bool>,
    listener: Option<TcpListener>,
    kept: Vec<TcpStream>,
}

impl Deaf {
    /// One that still hears.
    pub fn listening() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::new(own_address(), 0)).expect("a port on loopback");
        let listener = socket.listen(1).expect("it can listen");
        let address = listener.local_addr().expect("a bound socket has an address");
        let enough = tokio::sync::watch::Sender::new(false);
        let mut told = enough.subscribe();
        let accepting = tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = told.wait_for(|enough| *enough) => break listener,
                    _ = listener.accept() => {}
                }
            }
        });
        Self { address, accepting: Some(accepting), enough, listener: None, kept: Vec::new() }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts no more, and returns when connecting to it hangs.
    pub async fn deafen(&mut self) {
        self.enough.send_replace(true);
        let accepting = self.accepting.take().expect("it is deafened once");
        self.listener = Some(accepting.await.expect("it ends well"));
        while let Ok(Ok(stream)) = tokio::time::timeout(ms(300), TcpStream::connect(self.address)).await {
            self.kept.push(stream);
            assert!(self.kept.len() < 50, "the backlog does not fill");
        }
    }
}
