//! The part of the lexer that reads a script outside of quotes: words, operators, parentheses and here-documents.

use super::script_lexer::{
    AFTER_BACKSLASH, Context, IN_ARITHMETIC_COMMAND, IN_HERE_DOCUMENT, Lexer, NextPart,
};
use crate::error::CliError;

/// A script outside of quotes, as far as it has been read.
#[derive(Default)]
struct Unquoted {
    /// True if it ends with the parenthesis that ends `$(`.
    nested: bool,
    /// The number of open parentheses.
    parentheses: u32,
    /// True inside of `a=(..)`.
    in_array: bool,
    /// Documents that begin after the end of this line.
    here_documents: Vec<HereDocument>,
    word: WordState,
}

struct HereDocument {
    end: Vec<u8>,
    tabs_stripped: bool,
}

/// The word that is being read, outside of quotes.
#[derive(Default)]
struct WordState {
    number: u32,
    /// The text so far, as long as it is plain.
    text: Vec<u8>,
    begun: bool,
}

impl Lexer {
    /// Reads the script outside of quotes: the whole script, or, if `nested`, up to the parenthesis that ends `$(`,
    /// which the caller reads: it belongs to the word around.
    pub(super) fn unquoted(&mut self, nested: bool) -> Result<(), CliError> {
        self.descend();
        let mut script = Unquoted { nested, ..Unquoted::default() };
        let mut before = self.at();
        loop {
            // Shells differ in the start of a document if a quoted line feed comes before the one that ends the line.
            if !script.here_documents.is_empty() && self.passed_line_feed(before) {
                self.lose("after a here-document");
            }
            before = self.at();
            match self.next() {
                NextPart::End => break,
                NextPart::Placeholder => self.unquoted_placeholder(&mut script)?,
                NextPart::Byte(b')') if nested && script.parentheses == 0 => {
                    self.end(&mut script);
                    if !script.here_documents.is_empty() {
                        self.lose("after a here-document inside $(..)");
                    }
                    break;
                }
                NextPart::Byte(byte) => self.unquoted_byte(byte, &mut script)?,
            }
        }
        self.ascend();
        Ok(())
    }

    fn unquoted_placeholder(&mut self, script: &mut Unquoted) -> Result<(), CliError> {
        // In a subscript, `a[..]=`, some shells evaluate the text.
        if is_subscript(&script.word.text) {
            self.refuse("inside a[..]")?;
        }
        self.begin(&mut script.word);
        script.word.text.clear();
        self.place(Context::Unquoted, script.word.number)
    }

    fn unquoted_byte(&mut self, byte: u8, script: &mut Unquoted) -> Result<(), CliError> {
        // An operator inside `a=(..)` is an error after which bash reads on, perhaps in the middle of a quote.
        if script.in_array && matches!(byte, b'(' | b';' | b'&' | b'|' | b'<' | b'>') {
            self.lose("after an operator in a=(..)");
        }
        match byte {
            b'\\' => return self.unquoted_backslash(&mut script.word),
            b'\'' | b'"' | b'`' | b'$' => return self.special(byte, &mut script.word),
            b'#' if !script.word.begun => return self.comment(),
            b'(' => return self.open_parenthesis(script),
            b')' => {
                script.in_array = false;
                self.end(script);
                script.parentheses = script.parentheses.saturating_sub(1);
                self.take(1, 0);
            }
            b'<' if self.joined(1).0 == NextPart::Byte(b'<') => return self.here_operator(script),
            b'\n' => {
                self.end(script);
                self.take(1, 0);
                for document in std::mem::take(&mut script.here_documents) {
                    self.here_document(&document)?;
                }
            }
            b' ' | b'\t' | b';' | b'&' | b'|' | b'<' | b'>' => {
                self.end(script);
                self.take(1, 0);
            }
            byte => {
                self.begin(&mut script.word);
                script.word.text.push(byte);
                self.take(1, script.word.number);
            }
        }
        Ok(())
    }

    fn unquoted_backslash(&mut self, word: &mut WordState) -> Result<(), CliError> {
        match self.ahead(1) {
            // A line continuation neither begins nor ends a word.
            NextPart::Byte(b'\n') => self.take(2, word.number),
            NextPart::Placeholder => {
                self.skip(1);
                self.refuse(AFTER_BACKSLASH)?;
            }
            _ => {
                self.begin(word);
                word.text.push(b'\\');
                self.take(2, word.number);
            }
        }
        Ok(())
    }

    /// Reads a quote or an expansion, as a part of a word.
    fn special(&mut self, byte: u8, word: &mut WordState) -> Result<(), CliError> {
        self.begin(word);
        word.text.push(byte);
        match byte {
            b'\'' => self.single(word.number),
            b'"' => self.double(word.number),
            b'`' => self.backticks(word.number),
            _ => self.dollar(false, word.number),
        }
    }

    fn open_parenthesis(&mut self, script: &mut Unquoted) -> Result<(), CliError> {
        let arithmetic = !script.word.begun && self.joined(1).0 == NextPart::Byte(b'(');
        script.in_array |= script.word.text.ends_with(b"=");
        self.end(script);
        if arithmetic {
            return self.arithmetic(IN_ARITHMETIC_COMMAND);
        }
        script.parentheses += 1;
        self.take(1, 0);
        Ok(())
    }

    /// Reads `<<` or `<<<`.
    fn here_operator(&mut self, script: &mut Unquoted) -> Result<(), CliError> {
        self.end(script);
        let second = self.joined(1).1;
        let (third, ahead) = self.joined(second + 1);
        if third == NextPart::Byte(b'<') {
            self.take(ahead + 1, 0);
        } else {
            self.take(second + 1, 0);
            script.here_documents.push(self.here_document_end()?);
        }
        Ok(())
    }

    fn begin(&mut self, word: &mut WordState) {
        if !word.begun {
            *word = WordState { number: self.next_word(), text: Vec::new(), begun: true };
        }
    }

    /// Ends the word that is being read.
    fn end(&mut self, script: &mut Unquoted) {
        // The patterns of `case` may hold a parenthesis without its partner.
        if script.nested && script.word.text == b"case" {
            self.lose("after `case` inside $(..)");
        }
        script.word = WordState::default();
    }

    /// Reads the word behind `<<` that ends the document.
    fn here_document_end(&mut self) -> Result<HereDocument, CliError> {
        let tabs_stripped = self.next() == NextPart::Byte(b'-');
        if tabs_stripped {
            self.take(1, 0);
        }
        while matches!(self.next(), NextPart::Byte(b' ' | b'\t')) {
            self.take(1, 0);
        }
        let mut end = Vec::new();
        let mut quote = None;
        loop {
            match (self.next(), quote) {
                (NextPart::End, _) => break,
                _ if self.is_placeholder(0) => self.refuse(IN_HERE_DOCUMENT)?,
                (NextPart::Placeholder, _) => break,
                (NextPart::Byte(byte), Some(open)) if byte == open => quote = None,
                (NextPart::Byte(byte @ (b'\\' | b'\n' | b'`' | b'$')), Some(_)) => {
                    self.lose("after a here-document");
                    end.push(byte);
                }
                (NextPart::Byte(byte), Some(_)) => end.push(byte),
                (NextPart::Byte(byte @ (b'\'' | b'"')), None) => quote = Some(byte),
                (
                    NextPart::Byte(b' ' | b'\t' | b'\n' | b';' | b'&' | b'|' | b'<' | b'>' | b'(' | b')'),
                    None,
                ) => {
                    break;
                }
                (NextPart::Byte(b'\\'), None) => {
                    self.take(1, 0);
                    match self.next() {
                        NextPart::Byte(byte) if byte != b'\n' => end.push(byte),
                        _ => {
                            self.lose("after a here-document");
                            break;
                        }
                    }
                }
                (NextPart::Byte(byte), None) => {
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

    /// Reads the lines of a document, up to and including the one that ends it.
    fn here_document(&mut self, document: &HereDocument) -> Result<(), CliError> {
        loop {
            let mut line = Vec::new();
            loop {
                match self.next() {
                    NextPart::End => return Ok(()),
                    NextPart::Placeholder => self.refuse(IN_HERE_DOCUMENT)?,
                    NextPart::Byte(byte) => {
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

/// Returns whether a word reads `name[` so far, as the left side of an assignment to an array does.
fn is_subscript(word: &[u8]) -> bool {
    let Some(bracket) = memchr::memchr(b'[', word) else { return false };
    let name = &word[..bracket];
    !name.is_empty()
        && !name[0].is_ascii_digit()
        && name.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_')
        && !word[bracket..].contains(&b']')
}
