//! The web board: a read-only view of a program's runs for browsers, and metrics for Prometheus.
//!
//! ```
//! # psmith::init();
//! let web = psmith::web::Web::open("127.0.0.1:0".parse().unwrap()).unwrap();
//! eprintln!("the board is at {}", web.url());
//! let lengths = psmith::map(["one".to_owned(), "three".to_owned()], |word: String| word.len()).web(&web);
//! assert_eq!(lengths.map(Result::unwrap).collect::<Vec<_>>(), [3, 5]);
//! web.finish();
//! ```
//!
//! The server has a thread of its own. Runs send it their events and never wait for an answer; browsers get the state
//! that these events add up to. No request of a browser changes a run.
//!
//! The address holds a token, and only requests with that token are answered: every user of the machine can connect to
//! a port of the loopback interface, and is refused without it. At another address all of it goes over the network in
//! the clear.

pub use psmith_report::web::Web;
