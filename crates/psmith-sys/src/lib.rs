//! psmith-sys
