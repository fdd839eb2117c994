//! Digests files, each in a process of its own, and prints the digests in the order of the arguments.
//!
//! `cargo run -p psmith --example digest_files -- FILE...`

use std::hash::Hasher;
use std::path::PathBuf;

fn digest(path: PathBuf) -> std::io::Result<u64> {
    let mut hasher = std::hash::DefaultHasher::new();
    hasher.write(&std::fs::read(path)?);
    Ok(hasher.finish())
}

fn main() {
    psmith::init();
    let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    for (path, digest) in paths.iter().zip(psmith::try_map(paths.clone(), digest)) {
        match digest {
            Ok(digest) => println!("{digest:016x}  {}", path.display()),
            Err(failure) => eprintln!("{failure}"),
        }
    }
}
