//! The web board: a read-only view of a run for browsers, and metrics for Prometheus.
//!
//! A thread of its own with a server on it. The run tells it [`News`] and never waits for an answer; browsers get
//! what has been folded from the news so far. Nothing that a browser sends changes the run.

mod door;
mod jobs;
mod metrics;
mod news;
mod reserve;
mod server;
mod state;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::thread::JoinHandle;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use door::{Door, token};
pub(crate) use news::{Ended, Facts, News, Output};
use reserve::Reserve;

/// A board that is being served.
pub(crate) struct Web {
    /// Unbounded: folding news is far quicker than starting the processes that they tell of. What jobs write is
    /// bounded by [`Output`].
    news: Option<UnboundedSender<News>>,
    output: Output,
    thread: Option<JoinHandle<()>>,
    url: String,
    /// Held until it is settled how many descriptors jobs may have.
    reserve: Cell<Option<Reserve>>,
}

impl Web {
    /// Listens at this address, port 0 being any that is free, and serves from now on.
    ///
    /// # Errors
    /// If the address cannot be had, or no thread.
    pub(crate) fn open(address: SocketAddr) -> io::Result<Web> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let token = token()?;
        let url = format!("http://{address}/#token={token}");
        let (sender, inbox) = unbounded_channel();
        let output = Output::default();
        let (door, counted) = (Door::new(address, token), output.clone());
        let reserve = Reserve::take();
        let connections_max = reserve.connections();
        let thread = std::thread::Builder::new()
            .name("psmith-web".into())
            .spawn(move || server::serve(listener, door, connections_max, inbox, &counted))?;
        Ok(Web { news: Some(sender), output, thread: Some(thread), url, reserve: Cell::new(Some(reserve)) })
    }

    /// Where the board is, with the token that opens it.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Something happened. Never waits. Of the news the first is [`News::Run`], told when the run has taken stock of the
    /// descriptors that jobs may have: those that were open by then are not among them.
    pub(crate) fn tell(&self, news: News) {
        if matches!(news, News::Run(_)) {
            // The run has its slots by now. From here on the descriptors are the browsers'.
            self.reserve.take();
        }
        if let Some(sender) = &self.news {
            // A server that died serves nobody; the run goes on without it.
            let _ = sender.send(news);
        }
    }

    /// A job wrote something; dropped while more of this waits than a browser could show.
    pub(crate) fn tell_output(&self, job: u64, bytes: &[u8]) {
        if let Some(bytes) = self.output.take_in(bytes) {
            self.tell(News::Output { job, bytes });
        }
    }

    /// The run is over: browsers hear of it, and the server ends.
    pub(crate) fn finish(mut self) {
        drop(self.news.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
