//! The web board: a read-only view of a program's runs for browsers, and metrics for Prometheus.
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

pub use psmith_report::web::Web;
