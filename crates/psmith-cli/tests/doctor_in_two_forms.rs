//! Findings of `psmith doctor` on this very machine are the same for people and for programs. A file of its own,
//! because probing starts processes.

use psmith_cli::doctor::doctor;

#[test]
fn both_forms_report_this_machine_alike() {
    let (mut table, mut object) = (Vec::new(), Vec::new());
    let code = doctor(false, &mut table).unwrap();
    assert_eq!(doctor(true, &mut object).unwrap(), code);
    let object: serde_json::Value = serde_json::from_slice(&object).unwrap();
    let table = String::from_utf8(table).unwrap();
    let rows = object["facilities"].as_array().unwrap();
    assert!(rows.len() >= 15, "{table}");
    for row in rows {
        let (name, state) = (row["name"].as_str().unwrap(), row["state"].as_str().unwrap());
        let is_listed = table
            .lines()
            .any(|line| line.strip_prefix(state).is_some_and(|rest| rest.trim_start().starts_with(name)));
        assert!(is_listed, "{state} {name}: {table}");
    }
}
