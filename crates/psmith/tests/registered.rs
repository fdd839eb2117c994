//! Functions by name.
// What the attribute adds must not stand in the way of a program that forbids unsafe code.
#![forbid(unsafe_code)]

use psmith::{Cause, Job, Server};
use psmith_testkit::leak::LeakGuard;

#[psmith::job]
fn triple(number: u32) -> u32 {
    number * 3
}

mod inner {
    #[psmith::job]
    pub(super) fn triple(text: String) -> Result<String, String> {
        if text.is_empty() { Err("nothing to say".into()) } else { Ok(text.repeat(3)) }
    }
}

// proves: functions-and-commands
#[test]
fn a_registered_function_is_called_by_its_name_and_stays_a_function() {
    psmith::init();
    let _guard = LeakGuard::alone();
    assert_eq!(triple(1), 3);
    assert_eq!(psmith::map([2], triple).into_iter().next().unwrap().unwrap(), 6);
    let jobs = [
        Job::<String>::named("registered::inner::triple", "ab".to_owned()),
        Job::named("registered::inner::triple", String::new()),
        Job::named("registered::nobody", String::new()),
        Job::named("registered::triple", "no number".to_owned()),
    ];
    let mut jobs = jobs.into_iter();
    let mut got = Vec::new();
    let server = Server::new(move || jobs.next()).in_order();
    server.consumer(|_, result| got.push(result.map_err(psmith::Failure::into_cause))).run().unwrap();
    assert_eq!(got[0], Ok("ababab".into()));
    assert_eq!(got[1], Err(Cause::Error("nothing to say".into())));
    assert!(
        matches!(&got[2], Err(Cause::Undecodable(text)) if text.contains("registered::nobody")),
        "{got:?}"
    );
    assert!(matches!(&got[3], Err(Cause::Undecodable(text)) if text.starts_with("its input")), "{got:?}");
}
