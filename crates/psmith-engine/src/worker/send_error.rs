//! Messages on their way out: encoded, or the reason why one could not be sent. Sends none.

use std::fmt;
use std::io;

use serde::Serialize;

use crate::function::described::Described;

/// The reason why a message could not be sent.
#[derive(Debug)]
#[non_exhaustive]
pub enum SendError {
    /// The value cannot be encoded.
    Unencodable(String),
    /// The message is longer than a frame may be (`max_message_bytes`).
    TooLong {
        /// The message's length.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// Nobody receives the messages of this job: its run has no `on_message`, and it has no handle, or its handle takes
    /// none and keeps as many as it may. The message was not sent.
    Unheard,
    /// The job is over: it cannot take messages any more.
    Over,
    /// The queue of messages for the job is full; see `JobHandle::send`.
    Full,
    /// The other side has closed the channel.
    Gone(io::Error),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendError::Unencodable(reason) => write!(f, "the message cannot be encoded: {reason}"),
            SendError::TooLong { bytes, bytes_max } => {
                write!(f, "a message of {bytes} bytes is longer than the limit of {bytes_max}")
            }
            SendError::Unheard => f.write_str("nobody receives the messages of this job"),
            SendError::Over => f.write_str("the job is over"),
            SendError::Full => f.write_str("the job has not taken the messages that it was sent before"),
            SendError::Gone(error) => write!(f, "nobody listens any more: {error}"),
        }
    }
}

impl std::error::Error for SendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            SendError::Gone(error) => Some(error),
            SendError::Unencodable(_)
            | SendError::TooLong { .. }
            | SendError::Unheard
            | SendError::Over
            | SendError::Full => None,
        }
    }
}

/// Encodes a message.
pub fn encoded<M: Serialize + ?Sized>(message: &M, frame_bytes_max: u64) -> Result<Vec<u8>, SendError> {
    let mut bytes = Vec::new();
    Described::write(message, &mut bytes).map_err(|error| SendError::Unencodable(error.to_string()))?;
    // The head of the frame takes some bytes, too.
    let (length, bytes_max) = (bytes.len() as u64, frame_bytes_max.saturating_sub(64));
    if length > bytes_max { Err(SendError::TooLong { bytes: length, bytes_max }) } else { Ok(bytes) }
}
