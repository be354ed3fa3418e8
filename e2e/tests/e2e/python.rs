//! The Python client: typed and dynamic objects, exec and logs; watches that see everything whatever happens.

use anyhow::{Result, ensure};
use e2e::python::{program, python, script};
use e2e::storm::{COMPACTION, Writer};
use e2e::{cluster::with_place, history, images, with_cluster};

use crate::weather;

#[test]
fn the_python_client_works_against_it() -> Result<()> {
    let Some(python) = python()? else { return Ok(()) };
    with_cluster(|cluster| {
        let arguments = [script("objects.py").as_os_str().to_owned(), images::BUSYBOX.into()];
        let said = program(cluster, &python).args(arguments).ok()?;
        ensure!(said == "all is well\n", "{said}");
        Ok(())
    })
}

#[test]
fn watches_of_the_python_client_miss_nothing() -> Result<()> {
    let Some(python) = python()? else { return Ok(()) };
    with_place(|cluster| {
        cluster.up([COMPACTION])?;
        let mut watching = program(cluster, &python).args([script("watching.py")]).start()?;
        let mut writer = Writer::new(cluster, weather::targets())?;
        let calm = weather::endure(cluster, &mut writer, &mut [&mut watching])?;
        let seen = history::events(watching.lines());
        history::check(writer.changes(), &calm, &seen)?;
        history::tell("python", writer.changes(), seen.len());
        Ok(())
    })
}
