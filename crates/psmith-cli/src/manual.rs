//! The man page and the completions, made from the flags.

use std::io::{self, Write};

use clap_complete::Shell;

use crate::flags::help;

/// Prints the man page.
///
/// # Errors
/// Fails if `out` cannot be written.
pub fn man_page(out: &mut impl Write) -> io::Result<()> {
    let page = clap_mangen::Man::new(help::whole_command()).title("PSMITH");
    page.render_title(out)?;
    page.render_name_section(out)?;
    page.render_synopsis_section(out)?;
    page.render_description_section(out)?;
    help::render_examples(out)?;
    page.render_options_section(out)?;
    help::render_commands(out)?;
    help::render_replacements(out)?;
    page.render_version_section(out)
}

/// Prints completions for a shell.
///
/// # Errors
/// Fails if `out` cannot be written.
pub fn completions(shell: Shell, out: &mut impl Write) -> io::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut help::whole_command(), "psmith", &mut script);
    out.write_all(&script)
}
