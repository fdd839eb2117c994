//! Tests that drive the dispatcher by hand, each step checked to "and nothing else happened".

mod ends;
mod harness;
mod retries;
mod runs;
