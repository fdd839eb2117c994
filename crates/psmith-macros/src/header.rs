//! The head of a function, as far as `#[psmith::job]` needs it: its name and whether it can be a job. Never reads a
//! body, and never uses syn's grammar of all of Rust, which every program that uses psmith would have to compile.

use proc_macro2::{Span, TokenStream, TokenTree};
use syn::ext::IdentExt as _;
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Generics, Ident, Result, Token, Type, Visibility, parenthesized};

/// The head of a function, as far as `#[psmith::job]` reads it.
pub(crate) struct Header {
    pub(crate) name: Ident,
    pub(crate) asyncness: Option<Span>,
    pub(crate) generics: Generics,
    /// The number of its arguments.
    pub(crate) inputs: usize,
}

impl Parse for Header {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        Attribute::parse_outer(input)?;
        input.parse::<Visibility>()?;
        let mut asyncness = None;
        while !input.peek(Token![fn]) {
            // The words of a head are `const`, `extern` with its ABI and such: the compiler knows which are valid.
            asyncness = asyncness.or_else(|| input.peek(Token![async]).then(|| input.span()));
            input.parse::<TokenTree>()?;
        }
        input.parse::<Token![fn]>()?;
        let name = input.call(Ident::parse_any)?;
        let generics = input.parse()?;
        let arguments;
        parenthesized!(arguments in input);
        let mut inputs = 0;
        while !arguments.is_empty() {
            skip_pattern(&arguments)?;
            arguments.parse::<Type>()?;
            inputs += 1;
            if !arguments.is_empty() {
                arguments.parse::<Token![,]>()?;
            }
        }
        // The compiler checks the rest.
        input.parse::<TokenStream>()?;
        Ok(Self { name, asyncness, generics, inputs })
    }
}

/// Skips an argument's pattern and the colon after it. Paths in it (`Wrapper::New(n): Wrapper`) have colons of their
/// own.
fn skip_pattern(arguments: ParseStream<'_>) -> Result<()> {
    loop {
        if arguments.peek(Token![::]) {
            arguments.parse::<Token![::]>()?;
        } else if arguments.peek(Token![:]) {
            return arguments.parse::<Token![:]>().map(|_| ());
        } else {
            arguments.parse::<TokenTree>()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(text: &str) -> Header {
        syn::parse_str(text).expect("it is a function")
    }

    #[test]
    fn a_name_and_its_arguments_are_found_in_any_head() {
        for (text, inputs) in [
            ("fn add(n: u64) -> u64 { n + 1 }", 1),
            ("/// Words.\n#[inline] pub(crate) const fn add(mut n: u64,) {}", 1),
            ("pub extern \"C\" fn add((a, b): (u64, u64), map: Map<u64, Vec<u8>>) where u64: Copy {}", 2),
            (
                "fn add(other::New { n, .. }: other::New, f: fn(u64, u64) -> u64, #[cfg(any())] x: [u8; 3]) {}",
                3,
            ),
            ("fn add() {}", 0),
        ] {
            let header = header(text);
            assert_eq!((header.name.to_string().as_str(), header.inputs), ("add", inputs), "{text}");
            assert!(header.asyncness.is_none(), "{text}");
        }
    }

    #[test]
    fn what_makes_a_function_no_job_is_seen() {
        assert!(header("pub async fn add(n: u64) {}").asyncness.is_some());
        let generic = header("fn add<'a, T: Copy, const N: usize>(n: &'a [T; N]) {}").generics;
        assert_eq!((generic.type_params().count(), generic.const_params().count()), (1, 1));
        assert_eq!(header("fn add<'a>(n: &'a str) {}").generics.type_params().count(), 0);
    }

    #[test]
    fn what_is_no_function_is_refused() {
        for text in ["struct Job;", "fn add", "fn add(self) {}", "let add = 3;"] {
            assert!(syn::parse_str::<Header>(text).is_err(), "{text}");
        }
    }
}
