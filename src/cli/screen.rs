//! What `elbow run` shows once it is ready: what listens where, and what to type next. On a terminal one screen;
//! where nobody looks, a line in the log for each.

use std::fmt::Write;
use std::io::IsTerminal;

use super::output::Output;
use super::own_name;
use crate::app::Running;
use crate::version::VERSION;

pub(super) fn started(running: &Running, output: Output) {
    if output == Output::Text && std::io::stderr().is_terminal() {
        // Where nobody reads it any more there is nobody to tell.
        let _ = std::io::Write::write_all(&mut std::io::stderr().lock(), screen(running).as_bytes());
        return;
    }
    for (listener, address) in running.listeners() {
        tracing::info!(%listener, %address, "listening");
    }
    match running.admin() {
        Some(address) => tracing::info!(%address, "the admin API listens"),
        None => tracing::info!("the admin API is off"),
    }
    tracing::info!(version = VERSION, state_dir = %running.state_dir().display(), "elbow is ready");
}

fn screen(running: &Running) -> String {
    let (elbow, state_dir) = (own_name(), running.state_dir().display());
    let mut text = format!("\nelbow {VERSION} is ready, process {}\n\n", std::process::id());
    let listeners = running.listeners();
    for (name, address) in &listeners {
        let _ = writeln!(text, "  listener {name:<14} http://{address}");
    }
    if listeners.is_empty() {
        let _ = writeln!(text, "  no listener yet: give it a file (-c), --listen, or make one through the admin API");
    }
    match running.admin_url() {
        Some(admin) if running.asks_for_token() => {
            let _ = write!(
                text,
                "  admin API              {admin}\n  its token              {state_dir}/admin.token\n\n\
                 Try:\n  {elbow} status --state-dir {state_dir}\n  \
                 curl -H \"Authorization: Bearer $(cat {state_dir}/admin.token)\" {admin}/v1/config\n"
            );
        }
        Some(admin) => {
            let _ = write!(
                text,
                "  admin API              {admin}, open to everyone on this machine\n\n\
                 Try:\n  {elbow} status --state-dir {state_dir}\n  curl {admin}/v1/config\n"
            );
        }
        None => text.push_str("  admin API              off\n"),
    }
    if let Some((_, address)) = listeners.first_key_value() {
        let _ = writeln!(text, "  curl http://{address}/");
    }
    text.push_str("\nCtrl-C stops it gracefully.\n\n");
    text
}
