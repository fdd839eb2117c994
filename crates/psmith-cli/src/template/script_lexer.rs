//! A small lexer for scripts of the sh family: finds the context of quoting of each replacement string, and refuses
//! those for which no quoting is safe.
//!
//! It need not understand a script, only be sure of the contexts. If two shells might read a script differently, or
//! this lexer could lose track, every replacement string from there on is refused: the danger is to be wrong, not to be
//! strict. It never reads a value.

use super::placeholder::Placeholder;
use super::scan::Piece;
use crate::error::CliError;
use crate::quote::shown;

/// The quotes around a replacement string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Context {
    Unquoted,
    DoubleQuoted,
    SingleQuoted,
    /// A comment: nothing is put in.
    Comment,
}

/// A byte of the script or a replacement string, with the number of the word it belongs to (0: of none).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ScriptToken {
    pub(crate) part: TokenKind,
    pub(crate) word: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    Byte(u8),
    Placeholder(Placeholder, Context),
}

/// The nesting of constructs at which the lexer gives up.
const CONSTRUCTS_DEPTH_MAX: u32 = 64;

/// Finds the context of each replacement string.
///
/// # Errors
/// Fails if one is in a place where no quoting is safe.
pub(crate) fn lex(pieces: Vec<Piece>) -> Result<Vec<ScriptToken>, CliError> {
    let mut tokens = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) => {
                tokens.extend(
                    text.into_iter().map(|byte| ScriptToken { part: TokenKind::Byte(byte), word: 0 }),
                );
            }
            Piece::Placeholder(placeholder) => {
                tokens.push(ScriptToken {
                    part: TokenKind::Placeholder(placeholder, Context::Unquoted),
                    word: 0,
                });
            }
        }
    }
    let mut lexer = Lexer { tokens, at: 0, words: 0, depth: 0, lost: None };
    lexer.unquoted(false)?;
    Ok(lexer.tokens)
}

pub(super) struct Lexer {
    tokens: Vec<ScriptToken>,
    at: usize,
    words: u32,
    depth: u32,
    /// The reason why the contexts that follow are no longer certain, if so.
    lost: Option<&'static str>,
}

/// The next part of the script, as the lexer reads it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum NextPart {
    Byte(u8),
    Placeholder,
    End,
}

impl Lexer {
    pub(super) fn next(&self) -> NextPart {
        self.ahead(0)
    }

    pub(super) fn ahead(&self, by: usize) -> NextPart {
        match self.tokens.get(self.at + by).map(|token| &token.part) {
            Some(TokenKind::Byte(byte)) => NextPart::Byte(*byte),
            // A number is a word of digits to every shell, in every context.
            Some(TokenKind::Placeholder(placeholder, _)) if placeholder.kind.is_number() => {
                NextPart::Byte(b'1')
            }
            Some(TokenKind::Placeholder(..)) => NextPart::Placeholder,
            None => NextPart::End,
        }
    }

    /// Returns whether a replacement string is here, be it a number.
    pub(super) fn is_placeholder(&self, by: usize) -> bool {
        matches!(self.tokens.get(self.at + by).map(|token| &token.part), Some(TokenKind::Placeholder(..)))
    }

    /// Returns the part that comes `by` after here when line continuations are left out, as the shell reads
    /// `$\<newline>(`.
    pub(super) fn joined(&self, by: usize) -> (NextPart, usize) {
        let mut ahead = by;
        while self.ahead(ahead) == NextPart::Byte(b'\\') && self.ahead(ahead + 1) == NextPart::Byte(b'\n') {
            ahead += 2;
        }
        (self.ahead(ahead), ahead)
    }

    pub(super) fn take(&mut self, count: usize, word: u32) {
        for token in self.tokens.iter_mut().skip(self.at).take(count) {
            token.word = word;
        }
        self.at += count;
    }

    /// Returns a new word's number.
    pub(super) fn next_word(&mut self) -> u32 {
        self.words += 1;
        self.words
    }

    /// Skips the next bytes without reading them.
    pub(super) fn skip(&mut self, count: usize) {
        self.at += count;
    }

    /// Returns the lexer's position.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Returns whether there is a line feed between that position and this one.
    pub(super) fn passed_line_feed(&self, from: usize) -> bool {
        let end = self.at.min(self.tokens.len());
        self.tokens[from.min(end)..end].iter().any(|token| token.part == TokenKind::Byte(b'\n'))
    }

    /// Enters a construct that can hold another of its kind.
    pub(super) fn descend(&mut self) {
        self.depth += 1;
        if self.depth > CONSTRUCTS_DEPTH_MAX {
            self.lose("so deep inside $(..)");
        }
    }

    /// Leaves it again.
    pub(super) fn ascend(&mut self) {
        self.depth -= 1;
    }

    pub(super) fn lose(&mut self, why: &'static str) {
        self.lost.get_or_insert(why);
    }

    /// Records the context of the replacement string here, which is certain.
    pub(super) fn place(&mut self, context: Context, word: u32) -> Result<(), CliError> {
        if context != Context::Comment
            && let Some(why) = self.lost
        {
            return self.refuse(why);
        }
        if let TokenKind::Placeholder(_, found) = &mut self.tokens[self.at].part {
            *found = context;
        }
        self.take(1, word);
        Ok(())
    }

    pub(super) fn refuse(&self, why: &str) -> Result<(), CliError> {
        let typed = match &self.tokens[self.at].part {
            TokenKind::Placeholder(placeholder, _) => shown(&placeholder.typed),
            TokenKind::Byte(_) => String::new(),
        };
        let error = CliError::new(format!("{typed} {why} cannot be quoted safely"));
        Err(match why {
            IN_BACKTICKS => error.hint("use $(..)"),
            IN_PARAMETER => error
                .hint(format!("set a variable first: x={typed}; or write {{{typed}}} for the text itself")),
            IN_HERE_DOCUMENT => error.hint(format!("printf '%s\\n' {typed} | .. instead of <<")),
            AFTER_BACKSLASH => {
                error.hint(format!("leave out the backslash, or write {{{typed}}} for the text itself"))
            }
            // A variable would not help: arithmetic evaluates its content.
            IN_ARITHMETIC | IN_ARITHMETIC_COMMAND => error,
            _ => error.hint(format!("set a variable before it: x={typed}; ..")),
        })
    }

    pub(super) fn single(&mut self, word: u32) -> Result<(), CliError> {
        self.take(1, word);
        loop {
            match self.next() {
                NextPart::End => return Ok(()),
                NextPart::Placeholder => self.place(Context::SingleQuoted, word)?,
                NextPart::Byte(byte) => {
                    self.take(1, word);
                    if byte == b'\'' {
                        return Ok(());
                    }
                }
            }
        }
    }

    pub(super) fn double(&mut self, word: u32) -> Result<(), CliError> {
        self.take(1, word);
        loop {
            match self.next() {
                NextPart::End => return Ok(()),
                NextPart::Placeholder => self.place(Context::DoubleQuoted, word)?,
                NextPart::Byte(b'"') => {
                    self.take(1, word);
                    return Ok(());
                }
                NextPart::Byte(b'\\') => {
                    if self.ahead(1) == NextPart::Placeholder {
                        self.at += 1;
                        self.refuse(AFTER_BACKSLASH)?;
                    }
                    self.take(2, word);
                }
                NextPart::Byte(b'`') => self.backticks(word)?,
                NextPart::Byte(b'$') => self.dollar(true, word)?,
                NextPart::Byte(_) => self.take(1, word),
            }
        }
    }

    pub(super) fn backticks(&mut self, word: u32) -> Result<(), CliError> {
        self.take(1, word);
        loop {
            match self.next() {
                NextPart::End => return Ok(()),
                NextPart::Placeholder => self.refuse(IN_BACKTICKS)?,
                NextPart::Byte(b'`') => {
                    self.take(1, word);
                    return Ok(());
                }
                NextPart::Byte(b'\\') if self.ahead(1) != NextPart::Placeholder => self.take(2, word),
                NextPart::Byte(_) => self.take(1, word),
            }
        }
    }

    pub(super) fn dollar(&mut self, in_double: bool, word: u32) -> Result<(), CliError> {
        let (next, ahead) = self.joined(1);
        match next {
            // `${#}` would otherwise silently become `$1`.
            _ if self.is_placeholder(ahead) => {
                self.at += ahead;
                self.refuse(IN_PARAMETER)?;
            }
            NextPart::Byte(b'(') if self.joined(ahead + 1).0 == NextPart::Byte(b'(') => {
                self.take(ahead, word);
                self.arithmetic(IN_ARITHMETIC)?;
            }
            NextPart::Byte(b'(') => {
                self.take(ahead + 1, word);
                self.unquoted(true)?;
                self.take(1, word);
            }
            NextPart::Byte(b'{') => {
                self.take(ahead + 1, word);
                self.parameter(word)?;
            }
            NextPart::Byte(b'\'') if !in_double => {
                self.take(ahead + 1, word);
                self.dollar_single(word)?;
            }
            NextPart::Byte(b'[') => {
                self.take(ahead + 1, word);
                self.lose("after $[");
            }
            // `$#` is no comment, and in `$$(` the second sign is used up.
            NextPart::Byte(b'$' | b'#' | b'?' | b'!' | b'*' | b'@' | b'-') => self.take(ahead + 1, word),
            _ => self.take(1, word),
        }
        Ok(())
    }

    /// Reads `${..}`, already behind the brace. Shells differ in how they read quotes in it.
    fn parameter(&mut self, word: u32) -> Result<(), CliError> {
        let mut braces = 1u32;
        loop {
            match self.next() {
                NextPart::End => return Ok(()),
                NextPart::Placeholder => self.refuse(IN_PARAMETER)?,
                NextPart::Byte(b'}') => {
                    self.take(1, word);
                    braces -= 1;
                    if braces == 0 {
                        return Ok(());
                    }
                    continue;
                }
                NextPart::Byte(b'$') if self.ahead(1) == NextPart::Byte(b'{') => {
                    braces += 1;
                    self.take(2, word);
                    continue;
                }
                NextPart::Byte(b'$')
                    if matches!(
                        self.ahead(1),
                        NextPart::Byte(b'_' | b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9')
                    ) => {}
                NextPart::Byte(b'$' | b'\'' | b'"' | b'\\' | b'`' | b'{') => {
                    self.lose("after ${..} with quotes in it");
                }
                NextPart::Byte(_) => {}
            }
            self.take(1, word);
        }
    }

    /// Reads `((..))`, at its first parenthesis. Shells differ in the treatment of a subshell that begins like this.
    pub(super) fn arithmetic(&mut self, why: &'static str) -> Result<(), CliError> {
        let mut parentheses = 0u32;
        loop {
            match self.next() {
                NextPart::End => return Ok(()),
                NextPart::Placeholder => self.refuse(why)?,
                NextPart::Byte(b'(') => parentheses += 1,
                NextPart::Byte(b')') => {
                    parentheses = parentheses.saturating_sub(1);
                    if parentheses == 0 {
                        self.take(1, 0);
                        return Ok(());
                    }
                }
                NextPart::Byte(b'\'' | b'"' | b'\\' | b'`' | b'#' | b';' | b'\n') => {
                    self.lose("after ((..)) with quotes in it");
                }
                NextPart::Byte(b'c')
                    if self.ahead(1) == NextPart::Byte(b'a') && self.ahead(2) == NextPart::Byte(b's') =>
                {
                    self.lose("after `case` inside $(..)");
                }
                NextPart::Byte(_) => {}
            }
            self.take(1, 0);
        }
    }

    /// Reads `$'..'`, behind the quote: some shells know escapes in it, others do not.
    fn dollar_single(&mut self, word: u32) -> Result<(), CliError> {
        loop {
            match self.next() {
                NextPart::End => return Ok(()),
                NextPart::Placeholder => self.refuse("inside $'..'")?,
                NextPart::Byte(b'\\') => self.lose("after $'..' with a backslash in it"),
                NextPart::Byte(b'\'') => {
                    self.take(1, word);
                    return Ok(());
                }
                NextPart::Byte(_) => {}
            }
            self.take(1, word);
        }
    }

    pub(super) fn comment(&mut self) -> Result<(), CliError> {
        loop {
            match self.next() {
                NextPart::End | NextPart::Byte(b'\n') => return Ok(()),
                NextPart::Placeholder => self.place(Context::Comment, 0)?,
                NextPart::Byte(_) => self.take(1, 0),
            }
        }
    }
}

const IN_BACKTICKS: &str = "inside `..`";
const IN_ARITHMETIC: &str = "inside $((..))";
pub(super) const IN_ARITHMETIC_COMMAND: &str = "inside ((..))";
const IN_PARAMETER: &str = "inside ${..}";
pub(super) const IN_HERE_DOCUMENT: &str = "inside a here-document";
pub(super) const AFTER_BACKSLASH: &str = "after a backslash";
