//! Pages for a browser: the report of a run, and the charts that it shares with the web board.
//!
//! Everything that a job or a user wrote is made visible and escaped by [`html`] before it gets into a page, and
//! pages load nothing from anywhere. Draws what it is given and keeps nothing.

pub(crate) mod report_page;

pub(crate) use psmith_report::{charts, html, when};

#[cfg(test)]
mod tests;
