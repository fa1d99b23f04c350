//! An eventfd that librdkafka writes to when a queue stops being empty: one wait for several queues.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// A waitable flag, cheap to clone; waking is level-triggered until the next wait.
#[derive(Clone, Debug)]
pub(crate) struct Wake(Arc<OwnedFd>);

impl Wake {
    /// A new flag, not raised.
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: plain system call; a valid result is a descriptor that nobody else owns.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` was just made and is owned by nobody else.
        Ok(Self(Arc::new(unsafe { OwnedFd::from_raw_fd(fd) })))
    }

    /// Raises the flag.
    pub(crate) fn raise(&self) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: writes eight bytes from a live buffer to a live descriptor; a full counter
        // (EAGAIN) means that the flag is up already.
        unsafe { libc::write(self.0.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    /// Waits until the flag is up, at most `limit`; lowers it.
    pub(crate) fn wait(&self, limit: Duration) {
        let mut poll = libc::pollfd { fd: self.0.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let millis = i32::try_from(limit.as_micros().div_ceil(1000)).unwrap_or(i32::MAX);
        let mut count = [0u8; 8];
        // SAFETY: one live pollfd; the read writes at most eight bytes into a live buffer.
        unsafe {
            if libc::poll(&raw mut poll, 1, millis) > 0 {
                libc::read(self.0.as_raw_fd(), count.as_mut_ptr().cast(), count.len());
            }
        }
    }

    pub(super) fn descriptor(&self) -> i32 {
        self.0.as_raw_fd()
    }
}
