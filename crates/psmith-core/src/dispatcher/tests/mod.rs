//! The dispatcher driven by hand, each step checked to "and nothing else happened".

mod ends;
mod harness;
mod retries;
mod runs;
