//! The macro `#[psmith::job]`. It only adds items beside its item and never changes it.

mod header;

use header::Header;
use proc_macro::TokenStream;
use quote::quote;
use syn::{parse_macro_input, spanned::Spanned};

/// Registers a function as a job by its name, `crate::module::function`.
///
/// The function stays as it was: it can be called, and passed to [`psmith::map`](https://docs.rs/psmith) and the like.
/// It takes one argument, has no generic parameters (a name can stand for one function only), and is not `async`.
#[proc_macro_attribute]
pub fn job(attributes: TokenStream, item: TokenStream) -> TokenStream {
    let function = proc_macro2::TokenStream::from(item.clone());
    let header = parse_macro_input!(item as Header);
    if let Err(error) = check(&attributes.into(), &header) {
        let error = error.to_compile_error();
        return quote!(#error #function).into();
    }
    let name = &header.name;
    quote! {
        #function

        const _: () = {
            #[::psmith::__private::linkme::distributed_slice(::psmith::__private::JOBS)]
            #[linkme(crate = ::psmith::__private::linkme)]
            static PSMITH_JOB: ::psmith::__private::Registered = ::psmith::__private::Registered {
                name: ::core::concat!(::core::module_path!(), "::", ::core::stringify!(#name)),
                entry: || {
                    #[allow(unused_imports)]
                    use ::psmith::__private::RegisteredValue as _;
                    let function: fn(_) -> _ = #name;
                    ::psmith::__private::ToRegister(function).entry()
                },
            };
        };
    }
    .into()
}

fn check(attributes: &proc_macro2::TokenStream, function: &Header) -> syn::Result<()> {
    let refuse = |place: proc_macro2::Span, why: &str| Err(syn::Error::new(place, why));
    if !attributes.is_empty() {
        return refuse(attributes.span(), "`#[psmith::job]` takes no arguments");
    }
    if let Some(word) = function.asyncness {
        return refuse(word, "a job function is not `async`: it has a process of its own to block");
    }
    if function.generics.type_params().next().is_some() || function.generics.const_params().next().is_some() {
        return refuse(
            function.generics.span(),
            "a name stands for one function, so a registered job has no generic parameters; \
             give `psmith::map` the generic function itself, without `#[psmith::job]`",
        );
    }
    if function.inputs != 1 {
        return refuse(
            function.name.span(),
            "a job function takes one argument: put several into a tuple or a struct, and none into `()`",
        );
    }
    Ok(())
}
