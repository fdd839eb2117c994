//! Pages for a browser: the report of a run, and the charts that it shares with the web board.
//!
//! Everything that a job or a user wrote is made visible and escaped by [`html`] before it is put into a page, and
//! pages load no other resource. Pages are made from their arguments, and nothing is kept.

pub(crate) mod report_page;

pub(crate) use psmith_report::{charts, html, when};

#[cfg(test)]
mod tests;
