//! A client's socket under guard: what it may send at once is bounded, and so is how long it may
//! leave an answer unread.

use std::io;
use std::os::fd::AsFd as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use datafusion_postgres::pgwire::tokio::server::MaybeTls;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, timeout};

/// Before anybody has said who they are: the messages of a login are below a kilobyte each.
pub(super) const STRANGER_BYTES: usize = 32 << 10;

/// A message of somebody who is known: a query with its parameters.
pub(super) const MESSAGE_BYTES: usize = 16 << 20;

/// An answer of which nothing is taken for so long has no reader any more.
const UNREAD: Duration = Duration::from_secs(60);

/// Between two looks at whether the client is still there.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A look takes so long at most: what there is to see is there at once.
const GLANCE: Duration = Duration::from_millis(1);

/// Bytes that may still be read before the next message is whole.
#[derive(Clone, Debug)]
pub(super) struct Budget(Arc<Bytes>);

#[derive(Debug)]
struct Bytes {
    limit: AtomicUsize,
    left: AtomicUsize,
}

impl Budget {
    pub(super) fn new(bytes: usize) -> Self {
        Self(Arc::new(Bytes { limit: AtomicUsize::new(bytes), left: AtomicUsize::new(bytes) }))
    }

    pub(super) fn renew(&self, bytes: usize) {
        self.0.limit.store(bytes, Ordering::Relaxed);
        self.0.left.store(bytes, Ordering::Relaxed);
    }

    fn spend(&self, bytes: usize) {
        let left = self.0.left.load(Ordering::Relaxed);
        self.0.left.store(left.saturating_sub(bytes), Ordering::Relaxed);
    }

    fn is_spent(&self) -> bool {
        self.0.left.load(Ordering::Relaxed) == 0
    }

    fn too_long(&self) -> io::Error {
        let limit = self.0.limit.load(Ordering::Relaxed);
        let message =
            format!("a message is longer than the {limit} bytes that are taken: send less at once");
        io::Error::new(io::ErrorKind::InvalidData, message)
    }
}

/// See the module.
pub(super) struct Guarded {
    socket: MaybeTls,
    budget: Budget,
    stuck: Pin<Box<Sleep>>,
    is_stuck: bool,
}

impl Guarded {
    pub(super) fn new(socket: MaybeTls, budget: Budget) -> Self {
        Self { socket, budget, stuck: Box::pin(sleep(UNREAD)), is_stuck: false }
    }

    /// `wrote`, or an error when nothing was taken for too long.
    fn watched<T>(
        &mut self,
        context: &mut Context<'_>,
        wrote: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if wrote.is_ready() {
            self.is_stuck = false;
            return wrote;
        }
        if !self.is_stuck {
            self.is_stuck = true;
            self.stuck.as_mut().reset(Instant::now() + UNREAD);
        }
        ready!(self.stuck.as_mut().poll(context));
        let unread = format!("the client took nothing of its answer for {} s", UNREAD.as_secs());
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, unread)))
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.budget.is_spent() {
            return Poll::Ready(Err(this.budget.too_long()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.socket).poll_read(context, buffer))?;
        this.budget.spend(buffer.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let wrote = Pin::new(&mut this.socket).poll_write(context, bytes);
        this.watched(context, wrote)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.socket).poll_flush(context);
        this.watched(context, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let shut = Pin::new(&mut this.socket).poll_shutdown(context);
        this.watched(context, shut)
    }
}

/// A second handle of the socket, to see whether anybody is there while a query runs.
pub(super) struct Line(TcpStream);

impl Line {
    pub(super) fn of(socket: &TcpStream) -> io::Result<Self> {
        let twin = socket.as_fd().try_clone_to_owned()?;
        Ok(Self(TcpStream::from_std(std::net::TcpStream::from(twin))?))
    }

    /// Ends when the client has closed the connection or was killed.
    pub(super) async fn gone(&self) {
        loop {
            sleep(LOOK_EVERY).await;
            let mut byte = [0; 1];
            let looked = self.0.peek(&mut byte);
            // Else more messages wait, or nothing happened.
            if let Ok(Ok(0) | Err(_)) = timeout(GLANCE, looked).await {
                return;
            }
        }
    }
}
