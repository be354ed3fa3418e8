//! The Python client: typed and dynamic objects, exec and logs; watches that see everything whatever happens.

use anyhow::{Result, ensure};
use e2e::python::{python, script};
use e2e::storm::{COMPACTION, Writer};
use e2e::{cluster::with_place, history, images, with_cluster};

use crate::weather;

#[test]
fn the_python_client_works_against_it() -> Result<()> {
    let Some(python) = python()? else { return Ok(()) };
    with_cluster(|cluster| {
        let said = cluster
            .program(&python)
            .args([script("objects.py").as_os_str(), images::BUSYBOX.as_ref()])
            .env("KUBECONFIG", cluster.kubeconfig())
            .ok()?;
        ensure!(said == "all is well\n", "{said}");
        Ok(())
    })
}

#[test]
fn watches_of_the_python_client_miss_nothing() -> Result<()> {
    let Some(python) = python()? else { return Ok(()) };
    with_place(|cluster| {
        cluster.up([COMPACTION])?;
        let program = cluster.program(&python).args([script("watching.py")]).env("KUBECONFIG", cluster.kubeconfig());
        let mut program = program.start()?;
        let mut writer = Writer::new(cluster, weather::targets())?;
        let calm = weather::endure(cluster, &mut writer, &mut [&mut program])?;
        let seen = history::events(program.lines());
        history::check(writer.changes(), &calm, &seen)?;
        eprintln!("python: {} writes, {} events", writer.changes().len(), seen.len());
        Ok(())
    })
}
