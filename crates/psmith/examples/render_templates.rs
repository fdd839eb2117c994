//! Renders templates; a template that makes its renderer crash costs its own page and no other.
//!
//! `cargo run -p psmith --example render_templates`

use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Page {
    template: String,
    name: String,
}

fn render(page: Page) -> Result<String, String> {
    if page.template.contains("{crash}") {
        std::process::abort();
    }
    let (before, after) = page.template.split_once("{name}").ok_or("the template names nobody")?;
    Ok(format!("{before}{}{after}", page.name))
}

fn main() {
    psmith::init();
    let templates = ["Hello {name}!", "{crash}", "Dear {name},", "To whom it may concern"];
    let pages = templates.map(|template| Page { template: template.into(), name: "Ada".into() });
    for rendered in psmith::try_map(pages, render).workers(2) {
        match rendered {
            Ok(text) => println!("{text}"),
            Err(failure) => println!("({failure})"),
        }
    }
}
