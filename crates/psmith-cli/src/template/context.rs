//! A small lexer for scripts of the sh family: it tells in which context of quoting each replacement string
//! stands, and refuses those where no quoting holds.
//!
//! It need not understand a script, only be sure of the contexts. Where two shells might read a script
//! differently, or this lexer could lose its way, every replacement string from there on is refused: the danger
//! is to be wrong, not to be strict. It never looks at a value.

use super::hole::Hole;
use super::scan::Piece;
use crate::error::CliError;
use crate::quote::shown;

/// In which quotes a replacement string stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Context {
    Bare,
    Double,
    Single,
    /// Nothing is put in.
    Comment,
}

/// A byte of the script or a replacement string, with the number of the word it belongs to (0: of none).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) part: Part,
    pub(crate) word: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Byte(u8),
    Hole(Hole, Context),
}

/// How deep constructs may be nested before the lexer gives up.
const CONSTRUCTS_DEPTH_MAX: u32 = 64;

/// Finds the context of each replacement string.
///
/// # Errors
/// If one stands where no quoting holds.
pub(crate) fn contexts(pieces: Vec<Piece>) -> Result<Vec<Token>, CliError> {
    let mut tokens = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) => {
                tokens.extend(text.into_iter().map(|byte| Token { part: Part::Byte(byte), word: 0 }));
            }
            Piece::Hole(hole) => tokens.push(Token { part: Part::Hole(hole, Context::Bare), word: 0 }),
        }
    }
    let mut lexer = Lexer { tokens, at: 0, words: 0, depth: 0, lost: None };
    lexer.bare(false)?;
    Ok(lexer.tokens)
}

struct Lexer {
    tokens: Vec<Token>,
    at: usize,
    words: u32,
    depth: u32,
    /// Set when the contexts that follow are no longer certain: why.
    lost: Option<&'static str>,
}

/// What the lexer sees next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Byte(u8),
    Hole,
    End,
}

struct HereDocument {
    end: Vec<u8>,
    tabs_stripped: bool,
}

/// The word that is being read, outside of quotes.
#[derive(Default)]
struct WordState {
    number: u32,
    /// What it reads so far, as long as that is plain text.
    text: Vec<u8>,
    begun: bool,
}

impl Lexer {
    fn next(&self) -> Next {
        self.ahead(0)
    }

    fn ahead(&self, by: usize) -> Next {
        match self.tokens.get(self.at + by).map(|token| &token.part) {
            Some(Part::Byte(byte)) => Next::Byte(*byte),
            // A number is a word of digits to every shell, in every context.
            Some(Part::Hole(hole, _)) if hole.what.is_number() => Next::Byte(b'1'),
            Some(Part::Hole(..)) => Next::Hole,
            None => Next::End,
        }
    }

    /// Whether a replacement string stands here, be it a number.
    fn is_hole(&self, by: usize) -> bool {
        matches!(self.tokens.get(self.at + by).map(|token| &token.part), Some(Part::Hole(..)))
    }

    /// What comes `by` after here when line continuations are left out, as the shell reads `$\<newline>(`.
    fn joined(&self, by: usize) -> (Next, usize) {
        let mut ahead = by;
        while self.ahead(ahead) == Next::Byte(b'\\') && self.ahead(ahead + 1) == Next::Byte(b'\n') {
            ahead += 2;
        }
        (self.ahead(ahead), ahead)
    }

    fn take(&mut self, count: usize, word: u32) {
        for token in self.tokens.iter_mut().skip(self.at).take(count) {
            token.word = word;
        }
        self.at += count;
    }

    fn lose(&mut self, why: &'static str) {
        self.lost.get_or_insert(why);
    }

    /// The replacement string here stands in this context, which is certain.
    fn place(&mut self, context: Context, word: u32) -> Result<(), CliError> {
        if context != Context::Comment
            && let Some(why) = self.lost
        {
            return self.refuse(why);
        }
        if let Part::Hole(_, found) = &mut self.tokens[self.at].part {
            *found = context;
        }
        self.take(1, word);
        Ok(())
    }

    fn refuse(&self, why: &str) -> Result<(), CliError> {
        let typed = match &self.tokens[self.at].part {
            Part::Hole(hole, _) => shown(&hole.typed),
            Part::Byte(_) => String::new(),
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
            // A variable would not help: arithmetic evaluates what it holds.
            IN_ARITHMETIC | IN_ARITHMETIC_COMMAND => error,
            _ => error.hint(format!("set a variable before it: x={typed}; ..")),
        })
    }

    /// Outside of quotes: the whole script, or, if `nested`, up to the parenthesis that ends `$(`.
    fn bare(&mut self, nested: bool) -> Result<(), CliError> {
        self.depth += 1;
        if self.depth > CONSTRUCTS_DEPTH_MAX {
            self.lose("so deep inside $(..)");
        }
        let mut parentheses = 0u32;
        let mut in_array = false;
        let mut here_documents: Vec<HereDocument> = Vec::new();
        let mut word = WordState::default();
        let mut before = self.at;
        loop {
            // Shells differ in where a document begins if a quoted line feed comes before the one that ends the line.
            if !here_documents.is_empty() && self.passed_line_feed(before) {
                self.lose("after a here-document");
            }
            before = self.at;
            let byte = match self.next() {
                Next::End => break,
                Next::Hole => {
                    // In a subscript, `a[..]=`, some shells compute what they find.
                    if is_subscript(&word.text) {
                        self.refuse("inside a[..]")?;
                    }
                    self.begin(&mut word);
                    word.text.clear();
                    self.place(Context::Bare, word.number)?;
                    continue;
                }
                Next::Byte(byte) => byte,
            };
            // An operator inside `a=(..)` is an error after which bash reads on, perhaps in the middle of a quote.
            if in_array && matches!(byte, b'(' | b';' | b'&' | b'|' | b'<' | b'>') {
                self.lose("after an operator in a=(..)");
            }
            match byte {
                b'\\' => match self.ahead(1) {
                    // A line continuation neither begins nor ends a word.
                    Next::Byte(b'\n') => self.take(2, word.number),
                    Next::Hole => {
                        self.at += 1;
                        self.refuse(AFTER_BACKSLASH)?;
                    }
                    _ => {
                        self.begin(&mut word);
                        word.text.push(b'\\');
                        self.take(2, word.number);
                    }
                },
                b'\'' => {
                    self.begin(&mut word);
                    word.text.push(b'\'');
                    self.single(word.number)?;
                }
                b'"' => {
                    self.begin(&mut word);
                    word.text.push(b'"');
                    self.double(word.number)?;
                }
                b'`' => {
                    self.begin(&mut word);
                    word.text.push(b'`');
                    self.backticks(word.number)?;
                }
                b'$' => {
                    self.begin(&mut word);
                    word.text.push(b'$');
                    self.dollar(false, word.number)?;
                }
                b'#' if !word.begun => self.comment()?,
                b' ' | b'\t' => {
                    self.end(&mut word, nested);
                    self.take(1, 0);
                }
                b'\n' => {
                    self.end(&mut word, nested);
                    self.take(1, 0);
                    for document in here_documents.drain(..) {
                        self.here_document(&document)?;
                    }
                }
                b'(' => {
                    let arithmetic = !word.begun && self.joined(1).0 == Next::Byte(b'(');
                    in_array |= word.text.ends_with(b"=");
                    self.end(&mut word, nested);
                    if arithmetic {
                        self.arithmetic(IN_ARITHMETIC_COMMAND)?;
                    } else {
                        parentheses += 1;
                        self.take(1, 0);
                    }
                }
                b')' => {
                    in_array = false;
                    self.end(&mut word, nested);
                    if nested && parentheses == 0 {
                        if !here_documents.is_empty() {
                            self.lose("after a here-document inside $(..)");
                        }
                        self.depth -= 1;
                        // The caller takes the parenthesis: it belongs to the word around.
                        return Ok(());
                    }
                    parentheses = parentheses.saturating_sub(1);
                    self.take(1, 0);
                }
                b'<' if self.joined(1).0 == Next::Byte(b'<') => {
                    self.end(&mut word, nested);
                    let second = self.joined(1).1;
                    let (third, ahead) = self.joined(second + 1);
                    if third == Next::Byte(b'<') {
                        self.take(ahead + 1, 0);
                    } else {
                        self.take(second + 1, 0);
                        here_documents.push(self.here_document_end()?);
                    }
                }
                b';' | b'&' | b'|' | b'<' | b'>' => {
                    self.end(&mut word, nested);
                    self.take(1, 0);
                }
                byte => {
                    self.begin(&mut word);
                    word.text.push(byte);
                    self.take(1, word.number);
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn passed_line_feed(&self, from: usize) -> bool {
        let end = self.at.min(self.tokens.len());
        self.tokens[from.min(end)..end].iter().any(|token| token.part == Part::Byte(b'\n'))
    }

    fn begin(&mut self, word: &mut WordState) {
        if !word.begun {
            self.words += 1;
            *word = WordState { number: self.words, text: Vec::new(), begun: true };
        }
    }

    fn end(&mut self, word: &mut WordState, nested: bool) {
        // The patterns of `case` may hold a parenthesis without its partner.
        if nested && word.text == b"case" {
            self.lose("after `case` inside $(..)");
        }
        *word = WordState::default();
    }

    fn single(&mut self, word: u32) -> Result<(), CliError> {
        self.take(1, word);
        loop {
            match self.next() {
                Next::End => return Ok(()),
                Next::Hole => self.place(Context::Single, word)?,
                Next::Byte(byte) => {
                    self.take(1, word);
                    if byte == b'\'' {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn double(&mut self, word: u32) -> Result<(), CliError> {
        self.take(1, word);
        loop {
            match self.next() {
                Next::End => return Ok(()),
                Next::Hole => self.place(Context::Double, word)?,
                Next::Byte(b'"') => {
                    self.take(1, word);
                    return Ok(());
                }
                Next::Byte(b'\\') => {
                    if self.ahead(1) == Next::Hole {
                        self.at += 1;
                        self.refuse(AFTER_BACKSLASH)?;
                    }
                    self.take(2, word);
                }
                Next::Byte(b'`') => self.backticks(word)?,
                Next::Byte(b'$') => self.dollar(true, word)?,
                Next::Byte(_) => self.take(1, word),
            }
        }
    }

    fn backticks(&mut self, word: u32) -> Result<(), CliError> {
        self.take(1, word);
        loop {
            match self.next() {
                Next::End => return Ok(()),
                Next::Hole => self.refuse(IN_BACKTICKS)?,
                Next::Byte(b'`') => {
                    self.take(1, word);
                    return Ok(());
                }
                Next::Byte(b'\\') if self.ahead(1) != Next::Hole => self.take(2, word),
                Next::Byte(_) => self.take(1, word),
            }
        }
    }

    fn dollar(&mut self, in_double: bool, word: u32) -> Result<(), CliError> {
        let (next, ahead) = self.joined(1);
        match next {
            // `${#}` would otherwise silently become `$1`.
            _ if self.is_hole(ahead) => {
                self.at += ahead;
                self.refuse(IN_PARAMETER)?;
            }
            Next::Byte(b'(') if self.joined(ahead + 1).0 == Next::Byte(b'(') => {
                self.take(ahead, word);
                self.arithmetic(IN_ARITHMETIC)?;
            }
            Next::Byte(b'(') => {
                self.take(ahead + 1, word);
                self.bare(true)?;
                self.take(1, word);
            }
            Next::Byte(b'{') => {
                self.take(ahead + 1, word);
                self.parameter(word)?;
            }
            Next::Byte(b'\'') if !in_double => {
                self.take(ahead + 1, word);
                self.dollar_single(word)?;
            }
            Next::Byte(b'[') => {
                self.take(ahead + 1, word);
                self.lose("after $[");
            }
            // `$#` is no comment, and in `$$(` the second sign is used up.
            Next::Byte(b'$' | b'#' | b'?' | b'!' | b'*' | b'@' | b'-') => self.take(ahead + 1, word),
            _ => self.take(1, word),
        }
        Ok(())
    }

    /// `${..}`, already behind the brace. Shells differ in how they read quotes in it.
    fn parameter(&mut self, word: u32) -> Result<(), CliError> {
        let mut braces = 1u32;
        loop {
            match self.next() {
                Next::End => return Ok(()),
                Next::Hole => self.refuse(IN_PARAMETER)?,
                Next::Byte(b'}') => {
                    self.take(1, word);
                    braces -= 1;
                    if braces == 0 {
                        return Ok(());
                    }
                    continue;
                }
                Next::Byte(b'$') if self.ahead(1) == Next::Byte(b'{') => {
                    braces += 1;
                    self.take(2, word);
                    continue;
                }
                Next::Byte(b'$')
                    if matches!(
                        self.ahead(1),
                        Next::Byte(b'_' | b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9')
                    ) => {}
                Next::Byte(b'$' | b'\'' | b'"' | b'\\' | b'`' | b'{') => {
                    self.lose("after ${..} with quotes in it");
                }
                Next::Byte(_) => {}
            }
            self.take(1, word);
        }
    }

    /// `((..))`, at its first parenthesis. Shells differ in what they do where it turns out to be a subshell.
    fn arithmetic(&mut self, why: &'static str) -> Result<(), CliError> {
        let mut parentheses = 0u32;
        loop {
            match self.next() {
                Next::End => return Ok(()),
                Next::Hole => self.refuse(why)?,
                Next::Byte(b'(') => parentheses += 1,
                Next::Byte(b')') => {
                    parentheses = parentheses.saturating_sub(1);
                    if parentheses == 0 {
                        self.take(1, 0);
                        return Ok(());
                    }
                }
                Next::Byte(b'\'' | b'"' | b'\\' | b'`' | b'#' | b';' | b'\n') => {
                    self.lose("after ((..)) with quotes in it");
                }
                Next::Byte(b'c')
                    if self.ahead(1) == Next::Byte(b'a') && self.ahead(2) == Next::Byte(b's') =>
                {
                    self.lose("after `case` inside $(..)");
                }
                Next::Byte(_) => {}
            }
            self.take(1, 0);
        }
    }

    /// `$'..'`, behind the quote: some shells know escapes in it, others do not.
    fn dollar_single(&mut self, word: u32) -> Result<(), CliError> {
        loop {
            match self.next() {
                Next::End => return Ok(()),
                Next::Hole => self.refuse("inside $'..'")?,
                Next::Byte(b'\\') => self.lose("after $'..' with a backslash in it"),
                Next::Byte(b'\'') => {
                    self.take(1, word);
                    return Ok(());
                }
                Next::Byte(_) => {}
            }
            self.take(1, word);
        }
    }

    fn comment(&mut self) -> Result<(), CliError> {
        loop {
            match self.next() {
                Next::End | Next::Byte(b'\n') => return Ok(()),
                Next::Hole => self.place(Context::Comment, 0)?,
                Next::Byte(_) => self.take(1, 0),
            }
        }
    }

    /// The word behind `<<` that ends the document.
    fn here_document_end(&mut self) -> Result<HereDocument, CliError> {
        let tabs_stripped = self.next() == Next::Byte(b'-');
        if tabs_stripped {
            self.take(1, 0);
        }
        while matches!(self.next(), Next::Byte(b' ' | b'\t')) {
            self.take(1, 0);
        }
        let mut end = Vec::new();
        let mut quote = None;
        loop {
            match (self.next(), quote) {
                (Next::End, _) => break,
                _ if self.is_hole(0) => self.refuse(IN_HERE_DOCUMENT)?,
                (Next::Hole, _) => break,
                (Next::Byte(byte), Some(open)) if byte == open => quote = None,
                (Next::Byte(byte @ (b'\\' | b'\n' | b'`' | b'$')), Some(_)) => {
                    self.lose("after a here-document");
                    end.push(byte);
                }
                (Next::Byte(byte), Some(_)) => end.push(byte),
                (Next::Byte(byte @ (b'\'' | b'"')), None) => quote = Some(byte),
                (Next::Byte(b' ' | b'\t' | b'\n' | b';' | b'&' | b'|' | b'<' | b'>' | b'(' | b')'), None) => {
                    break;
                }
                (Next::Byte(b'\\'), None) => {
                    self.take(1, 0);
                    match self.next() {
                        Next::Byte(byte) if byte != b'\n' => end.push(byte),
                        _ => {
                            self.lose("after a here-document");
                            break;
                        }
                    }
                }
                (Next::Byte(byte), None) => {
                    if matches!(byte, b'$' | b'`') {
                        self.lose("after a here-document");
                    }
                    end.push(byte);
                }
            }
            self.take(1, 0);
        }
        Ok(HereDocument { end, tabs_stripped })
    }

    /// The lines of a document, up to and with the one that ends it.
    fn here_document(&mut self, document: &HereDocument) -> Result<(), CliError> {
        loop {
            let mut line = Vec::new();
            loop {
                match self.next() {
                    Next::End => return Ok(()),
                    Next::Hole => self.refuse(IN_HERE_DOCUMENT)?,
                    Next::Byte(byte) => {
                        self.take(1, 0);
                        if byte == b'\n' {
                            break;
                        }
                        line.push(byte);
                    }
                }
            }
            let tabs =
                if document.tabs_stripped { line.iter().take_while(|b| **b == b'\t').count() } else { 0 };
            if line[tabs..] == document.end[..] {
                return Ok(());
            }
            // A backslash before the line feed joins lines in an unquoted document, and shells differ in when.
            if line.ends_with(b"\\") {
                self.lose("after a here-document");
            }
        }
    }
}

const IN_BACKTICKS: &str = "inside `..`";
const IN_ARITHMETIC: &str = "inside $((..))";
const IN_ARITHMETIC_COMMAND: &str = "inside ((..))";
const IN_PARAMETER: &str = "inside ${..}";
const IN_HERE_DOCUMENT: &str = "inside a here-document";
const AFTER_BACKSLASH: &str = "after a backslash";

/// Whether a word reads `name[` so far, as the left side of an assignment to an array does.
fn is_subscript(word: &[u8]) -> bool {
    let Some(bracket) = memchr::memchr(b'[', word) else { return false };
    let name = &word[..bracket];
    !name.is_empty()
        && !name[0].is_ascii_digit()
        && name.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_')
        && !word[bracket..].contains(&b']')
}
