//! psmith-testkit
pub mod simulation;
