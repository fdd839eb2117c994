//! Codecs: the forms in which values travel between a program and its workers. The default serves every type of
//! serde's; others pass bytes as they are or errors as values, and a program may have a codec of its own.

#[cfg(feature = "authenticated")]
pub use psmith_engine::function::authenticated::Authenticated;
pub use psmith_engine::function::codec::{CarriedError, Codec, CodecError, Raw};
pub use psmith_engine::function::described::{DEPTH_MAX, Described};
pub use psmith_engine::function::with_errors::WithErrors;
