//! The web board: a read-only view of runs for browsers, and metrics for Prometheus.
//!
//! ```
//! # psmith::init();
//! let web = psmith::web::Web::open("127.0.0.1:0".parse().unwrap()).unwrap();
//! eprintln!("look at {}", web.url());
//! let lengths = psmith::map(["one".to_owned(), "three".to_owned()], |word: String| word.len()).web(&web);
//! assert_eq!(lengths.map(Result::unwrap).collect::<Vec<_>>(), [3, 5]);
//! web.finish();
//! ```
//!
//! A thread of its own with a server on it. Runs tell it what happens and never wait for an answer; browsers get what
//! has been folded from that so far. Nothing that a browser sends changes a run.
//!
//! Whoever has the address with its token sees what the board shows, and nobody else does: every user of the machine
//! can connect to a port of the loopback interface, and is refused. At another address all of it goes over the network
//! in the clear.

mod door;
mod jobs;
mod metrics;
pub mod news;
mod reserve;
mod server;
mod state;
#[cfg(test)]
mod tests;
mod totals;

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use door::{AccessCheck, token};
use news::Output;
pub use news::{JobEnded, RunFacts, WebEvent};
use reserve::Reserve;
use totals::ExpectedJobs;

/// A board that is being served, for the runs of this program that name it (`web` among their settings).
///
/// Dropped, it tells its browsers that all is over, and ends; so does [`Web::finish`].
pub struct Web {
    feed: Arc<Feed>,
    thread: Option<JoinHandle<()>>,
    url: String,
}

/// Where runs tell what happens.
pub struct Feed {
    began: Instant,
    /// Unbounded: folding events is far quicker than starting the processes that they tell of. What jobs write is
    /// bounded by [`Output`]. `None`: the board has ended.
    event: Mutex<Option<UnboundedSender<WebEvent>>>,
    output: Output,
    /// Held until it is settled how many descriptors jobs may have.
    reserve: Mutex<Option<Reserve>>,
    /// The number of the last job that a run of this program told of.
    jobs: AtomicU64,
    totals: Mutex<ExpectedJobs>,
}

impl Web {
    /// Listens at this address, port 0 being any that is free, and serves from now on.
    ///
    /// Browsers get descriptors of their own: up to 64, or a quarter of what the process may open. A run that names the
    /// board leaves those alone.
    ///
    /// # Errors
    /// If the address cannot be had, or no thread.
    pub fn open(address: SocketAddr) -> io::Result<Web> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let token = token()?;
        let url = format!("http://{address}/#token={token}");
        let (sender, inbox) = unbounded_channel();
        let output = Output::default();
        let (door, counted) = (AccessCheck::new(address, token), output.clone());
        let reserve = Reserve::take();
        let connections_max = reserve.connections();
        // Signals are the program's own threads' to hear.
        let old = psmith_sys::signals::block_all();
        let thread = std::thread::Builder::new()
            .name("psmith-web".into())
            .spawn(move || server::serve(listener, door, connections_max, inbox, &counted));
        psmith_sys::signals::restore(old);
        let feed = Feed {
            began: Instant::now(),
            event: Mutex::new(Some(sender)),
            output,
            reserve: Mutex::new(Some(reserve)),
            jobs: AtomicU64::new(0),
            totals: Mutex::default(),
        };
        Ok(Web { feed: Arc::new(feed), thread: Some(thread?), url })
    }

    /// Where the board is, with the token that opens it: for the one who may see it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// All is over: browsers hear of it, and the server ends, a second later at most.
    pub fn finish(self) {
        drop(self);
    }

    /// Something happened. Never waits. Of the events the first is [`WebEvent::Run`], told when the run has taken stock of the
    /// descriptors that jobs may have: those that were open by then are not among them.
    pub fn send(&self, event: WebEvent) {
        self.feed.send(event);
    }

    /// A job wrote something; dropped while more of this waits than a browser could show.
    pub fn send_output(&self, job: u64, bytes: &[u8]) {
        if let Some(bytes) = self.feed.take_output(bytes) {
            self.send(WebEvent::Output { job, bytes });
        }
    }

    /// Where runs of a program tell what happens.
    #[must_use]
    pub fn feed(&self) -> Arc<Feed> {
        Arc::clone(&self.feed)
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        drop(self.feed.event.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Web {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Web").finish_non_exhaustive()
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Feed")
    }
}

impl Feed {
    /// Holds the browsers' descriptors until the run that is about to begin has its slots.
    pub fn set_aside(&self) {
        self.reserve.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(Reserve::take);
    }

    /// A run with so many jobs begins; gives how many all runs have, if that is known.
    pub fn add_total(&self, total: Option<u64>) -> Option<u64> {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner).add(total)
    }

    /// Time since the board was opened: the zero of all times that are told.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// The board's number for the next job: two runs of a program count from 1, each for itself.
    pub fn next_job(&self) -> u64 {
        self.jobs.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// What a job wrote, as far as there is room for it.
    pub fn take_output(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        self.output.take_in(bytes)
    }

    /// Tells what happened; see [`Web::tell`].
    pub fn send(&self, event: WebEvent) {
        if matches!(event, WebEvent::Run(_)) {
            // The run has its slots by now. From here on the descriptors are the browsers'.
            drop(self.reserve.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
        if let Some(sender) = &*self.event.lock().unwrap_or_else(PoisonError::into_inner) {
            // A server that died serves nobody; the run goes on without it.
            let _ = sender.send(event);
        }
    }
}
