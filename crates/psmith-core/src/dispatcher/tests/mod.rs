//! The dispatcher driven by hand, each step checked to "and nothing else happened".

mod desk;
mod ends;
mod retries;
mod runs;
