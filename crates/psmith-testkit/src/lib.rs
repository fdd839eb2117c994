//! psmith-testkit
