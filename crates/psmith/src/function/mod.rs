//! Functions as jobs: what a function may be, how its values travel, how another process finds and calls it.
//!
//! - [`codec`], [`described`]: values to bytes and back; `authenticated` (feature): the same with a code
//! - [`returns`]: what a job function may return
//! - [`registry`]: functions by name
//! - [`call`]: one call, on the side where it happens
//!
//! Knows no process and no channel: bytes in, bytes out.

#[cfg(feature = "authenticated")]
pub(crate) mod authenticated;
pub(crate) mod call;
pub mod codec;
pub(crate) mod described;
pub(crate) mod packed;
pub mod registry;
pub(crate) mod returns;
