//! Stand-in for the web board in a build without it: there is none, and a request for it is refused.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;

pub(crate) use psmith_report::web_events::{JobEnded, RunFacts, WebEvent};

/// A web board that cannot exist.
pub(crate) struct Web(Infallible);

impl Web {
    pub(crate) fn open(_: SocketAddr) -> io::Result<Web> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "this psmith was built without the web board"))
    }

    pub(crate) fn url(&self) -> &str {
        match self.0 {}
    }

    pub(crate) fn send(&self, _: WebEvent) {
        match self.0 {}
    }

    pub(crate) fn send_output(&self, _: u64, _: &[u8]) {
        match self.0 {}
    }

    pub(crate) fn finish(self) {
        match self.0 {}
    }
}
