//! Storms that once broke a rule, kept as text: see `sim/scenarios`.

use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn what_once_failed_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut ran = 0;
    for entry in fs::read_dir(folder).expect("the folder of scenarios") {
        let path = entry.expect("an entry").path();
        let output = Command::new(env!("CARGO_BIN_EXE_sim")).arg("--scenario").arg(&path).output().expect("it starts");
        assert!(output.status.success(), "{}:\n{}", path.display(), String::from_utf8_lossy(&output.stdout));
        ran += 1;
    }
    assert!(ran > 0, "there is no scenario");
}
