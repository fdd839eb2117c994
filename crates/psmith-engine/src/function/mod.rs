//! Functions as jobs: what a function may be, how its values travel, how another process finds and calls it.
//!
//! - [`codec`], [`described`]: values to bytes and back; `authenticated` (feature): the same with a code
//! - [`returns`]: what a job function may return
//! - [`registry`]: functions by name
//! - [`call`]: one call, on the side where it happens
//!
//! Knows no process and no channel: bytes in, bytes out.

#[cfg(feature = "authenticated")]
pub mod authenticated;
pub mod call;
pub mod codec;
pub mod described;
pub mod packed;
pub mod registry;
pub mod returns;
