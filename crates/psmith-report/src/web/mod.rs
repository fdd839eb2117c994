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
//! A thread of its own runs the server. Runs send it events and never wait for an answer; browsers get what has been
//! folded from the events so far. No request of a browser changes a run.
//!
//! The board can be read by everybody who has the address with its token, and by nobody else: every user of the machine
//! can connect to a port of the loopback interface, and is refused. At another address all data goes over the network
//! unencrypted.

mod access;
mod jobs;
mod metrics;
mod output_backlog;
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

pub use crate::web_events::{JobEnded, RunFacts, WebEvent};
use access::{AccessCheck, token};
use output_backlog::OutputBacklog;
use reserve::Reserve;
use totals::ExpectedJobs;

/// A web board that is served, for the runs of this program that name it (`web` among their settings).
///
/// When dropped, it tells its browsers that the run is over, and ends; so does [`Web::finish`].
pub struct Web {
    feed: Arc<Feed>,
    thread: Option<JoinHandle<()>>,
    url: String,
}

/// The receiver of the runs' events.
pub struct Feed {
    began: Instant,
    /// The channel to the server. Unbounded: folding events is far quicker than starting the processes that they
    /// report. Jobs' output is bounded by [`OutputBacklog`]. `None`: the board has ended.
    event: Mutex<Option<UnboundedSender<WebEvent>>>,
    output: OutputBacklog,
    /// The browsers' descriptors, held until it is decided how many jobs may have.
    reserve: Mutex<Option<Reserve>>,
    /// The number of the last job that a run of this program has reported.
    jobs: AtomicU64,
    totals: Mutex<ExpectedJobs>,
}

impl Web {
    /// Listens at this address, and serves from now on. With port 0 it listens at any free port.
    ///
    /// Browsers get descriptors of their own: up to 64, or a quarter of what the process may open. A run that names the
    /// board leaves those alone.
    ///
    /// # Errors
    /// Fails if the address is not available, or if no thread can be started.
    pub fn open(address: SocketAddr) -> io::Result<Web> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let token = token()?;
        let url = format!("http://{address}/#token={token}");
        let (sender, inbox) = unbounded_channel();
        let output = OutputBacklog::default();
        let (access, counted) = (AccessCheck::new(address, token), output.clone());
        let reserve = Reserve::take();
        let connections_max = reserve.connections();
        // Signals are for the program's own threads.
        let old = psmith_sys::signals::block_all();
        let thread = std::thread::Builder::new()
            .name("psmith-web".into())
            .spawn(move || server::serve(listener, access, connections_max, inbox, &counted));
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

    /// Returns the board's address with the token that opens it: for the user who may read the board.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Ends the board: browsers are notified, and the server ends, a second later at most.
    pub fn finish(self) {
        drop(self);
    }

    /// Sends an event. Never waits. The first event is [`WebEvent::Run`], sent when the run has counted the descriptors
    /// that jobs may have: those that were open by then are not among them.
    pub fn send(&self, event: WebEvent) {
        self.feed.send(event);
    }

    /// Sends output of a job; it is dropped while more of it waits than a browser could show.
    pub fn send_output(&self, job: u64, bytes: &[u8]) {
        if let Some(bytes) = self.feed.take_output(bytes) {
            self.send(WebEvent::Output { job, bytes });
        }
    }

    /// Returns the receiver of the events of a program's runs.
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
    /// Leaves out the token.
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

    /// Adds a run with this many jobs; returns how many all runs have, if that is known.
    pub fn add_total(&self, total: Option<u64>) -> Option<u64> {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner).add(total)
    }

    /// Returns the time since the board was opened: the zero of all times in events.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Returns the board's number for the next job: each run of a program counts its own jobs from 1.
    pub fn next_job(&self) -> u64 {
        self.jobs.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Returns the part of a job's output for which there is room.
    pub fn take_output(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        self.output.take_in(bytes)
    }

    /// Sends an event; see [`Web::send`].
    pub fn send(&self, event: WebEvent) {
        if matches!(event, WebEvent::Run(_)) {
            // The run has its slots by now. From here on the descriptors are for browsers.
            drop(self.reserve.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
        if let Some(sender) = &*self.event.lock().unwrap_or_else(PoisonError::into_inner) {
            // The server may have ended by an error; the run goes on without it.
            let _ = sender.send(event);
        }
    }
}
