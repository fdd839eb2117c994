//! How values travel between a program and its workers: the default for every type of serde's, bytes as they are, an error
//! that travels itself, and a codec of your own.

#[cfg(feature = "authenticated")]
pub use psmith_engine::function::authenticated::Authenticated;
pub use psmith_engine::function::codec::{CarriedError, Codec, CodecError, Raw};
pub use psmith_engine::function::described::{DEPTH_MAX, Described};
pub use psmith_engine::function::with_errors::WithErrors;
