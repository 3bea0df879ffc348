//! What is about to be written, in up to three parts that leave in one system call.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use super::buffers::Buffer;
use crate::http1::{CHUNK_END, CHUNK_PREFIX_BYTES_MAX, chunk_prefix, write_last_chunk};

/// Body bytes up to this many are copied behind their head: one buffer costs the kernel less than two.
const COPIED_BYTES_MAX: usize = 1024;

/// What is about to be written: a head or the line before a chunk, body bytes in a buffer, and what ends them.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    pub(super) head: Vec<u8>,
    data: Range<usize>,
    tail: Vec<u8>,
    written: usize,
}

impl Outgoing {
    /// Forgets it.
    pub(super) fn clear(&mut self) {
        self.head.clear();
        self.tail.clear();
        self.data = 0..0;
        self.written = 0;
    }

    /// Adds body bytes at this place of the buffer to what is to be written.
    pub(super) fn add_body(&mut self, data: Range<usize>, buffer: &Buffer, is_chunked: bool) {
        if is_chunked && !data.is_empty() {
            self.head.extend_from_slice(chunk_prefix(data.len(), &mut [0; CHUNK_PREFIX_BYTES_MAX]));
            self.tail.extend_from_slice(CHUNK_END);
        }
        if data.len() <= COPIED_BYTES_MAX {
            self.head.extend_from_slice(buffer.at(data));
            self.head.append(&mut self.tail);
        } else {
            self.data = data;
        }
    }

    /// Ends a body that is sent in chunks.
    pub(super) fn end_body(&mut self, trailers: &[u8]) {
        write_last_chunk(&mut self.tail, trailers);
    }

    /// Starts over: everything is to be written again.
    pub(super) fn rewind(&mut self) {
        self.written = 0;
    }

    /// How much of it is written.
    pub(super) fn written(&self) -> usize {
        self.written
    }

    /// Whether it is written in part.
    pub(super) fn is_torn(&self) -> bool {
        self.written > 0 && !self.is_empty()
    }

    /// Whether all of it is written.
    pub(super) fn is_empty(&self) -> bool {
        self.written == self.head.len() + self.data.len() + self.tail.len()
    }

    /// Writes what is left of it.
    pub(super) fn poll_write<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut W,
        buffer: &Buffer,
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let mut skip = self.written;
            let mut parts = [IoSlice::new(&[]); 3];
            let mut count = 0;
            for part in [&self.head[..], buffer.at(self.data.clone()), &self.tail[..]] {
                if skip >= part.len() {
                    skip -= part.len();
                } else {
                    parts[count] = IoSlice::new(&part[skip..]);
                    count += 1;
                    skip = 0;
                }
            }
            let written = match count {
                1 => ready!(Pin::new(&mut *to).poll_write(cx, &parts[0]))?,
                _ => ready!(Pin::new(&mut *to).poll_write_vectored(cx, &parts[..count]))?,
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += written;
        }
        Poll::Ready(Ok(()))
    }
}
