//! `up`, `down` and `kubeconfig`: what a new user meets first.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, Result, ensure};
use e2e::cluster::{with_neighbour, with_place};
use e2e::objects::text;
use e2e::{Cluster, binary, eventually};

const USERS_KUBECONFIG: &str = "\
apiVersion: v1
kind: Config
extra: kept
clusters:
- name: prod
  cluster: {server: 'https://prod.example:6443'}
users:
- name: prod
  user: {token: secret-of-prod}
contexts:
- name: prod
  context: {cluster: prod, user: prod, namespace: shop}
current-context: prod
";

#[test]
fn the_first_command_ends_with_an_address_that_answers() -> Result<()> {
    with_place(|cluster| {
        let users = cluster.home().join(".kube/config");
        fs::create_dir_all(cluster.home().join(".kube"))?;
        fs::write(&users, USERS_KUBECONFIG)?;
        let manifest = binary::repository().join("manifests/hello.yaml");
        let outcome = cluster.up(["-f", &manifest.to_string_lossy()])?;

        let address = greeting(&outcome.stdout, &users.to_string_lossy())?;
        for said in ["deployment.apps/hello created", "service/hello created", "deployment.apps/hello is Ready"] {
            ensure!(outcome.stderr.contains(said), "{said:?} is not in {outcome}");
        }
        three_pods_answer(cluster, &address)?;
        merged_without_loss(cluster)?;
        second_up_is_refused(cluster)?;

        let data = cluster.data_dir();
        let printed = cluster.home_setpoint(["kubeconfig", "--data-dir", &data.to_string_lossy()]).ok()?;
        ensure!(printed.trim_end() == fs::read_to_string(cluster.kubeconfig())?.trim_end());

        cluster.down_leaves_nothing()?;
        cluster.kubectl(["get", "nodes"]).fails_with("The connection to the server 127.0.0.1:6443 was refused")?;
        starts_again_with_what_it_had(cluster, &address)
    })
}

/// The lines at the end of `up`; gives the address of the Service.
fn greeting(stdout: &str, users: &str) -> Result<String> {
    let value = |label: &str| {
        let line = stdout.lines().find_map(|line| line.strip_prefix(label));
        line.map(|rest| rest.trim().to_owned()).with_context(|| format!("no line {label:?} in\n{stdout}"))
    };
    ensure!(value("API server:")? == "https://127.0.0.1:6443");
    ensure!(value("Kubeconfig:")? == format!("{users} (context setpoint)"));
    let address = value("hello:")?;
    ensure!(value("Next:")? == format!("curl {address}"));
    Ok(address.strip_prefix("http://").context("the address begins with http://")?.to_owned())
}

fn three_pods_answer(cluster: &Cluster, address: &str) -> Result<()> {
    let pods = cluster.api().pods_of("hello")?;
    let names: BTreeSet<String> = pods.iter().map(|pod| text(pod, "metadata.name").to_owned()).collect();
    ensure!(names.len() == 3, "{names:?}");
    let mut answered = BTreeSet::new();
    // 100 requests miss one of three pods once in 10^17 times.
    for _ in 0..100 {
        let answer = cluster.http_get(address, 80)?;
        let name = answer.trim().strip_prefix("Hello from ").and_then(|rest| rest.strip_suffix('!'));
        answered.insert(name.with_context(|| format!("the answer is {answer:?}"))?.to_owned());
    }
    ensure!(answered == names, "{answered:?} answered of {names:?}");
    Ok(())
}

fn merged_without_loss(cluster: &Cluster) -> Result<()> {
    let users = cluster.home().join(".kube/config");
    let merged = fs::read_to_string(&users)?;
    ensure!(merged.contains("extra: kept") && merged.contains("https://prod.example:6443"), "{merged}");
    let view = |query: &str| {
        let output = format!("-o=jsonpath={query}");
        cluster.kubectl(["config", "view", "--raw", &output]).env("KUBECONFIG", &users).ok()
    };
    ensure!(view("{.users[?(@.name=='prod')].user.token}")? == "secret-of-prod");
    ensure!(view("{.contexts[?(@.name=='prod')].context.namespace}")? == "shop");
    ensure!(view("{.current-context}")? == "setpoint");
    ensure!(fs::metadata(&users)?.permissions().mode().trailing_zeros() >= 6, "others can read the key");
    let nodes = cluster.kubectl(["get", "nodes", "-o=name"]).env("KUBECONFIG", &users).ok()?;
    ensure!(nodes.lines().count() == e2e::cluster::nodes() as usize && nodes.starts_with("node/"), "{nodes}");
    Ok(())
}

fn second_up_is_refused(cluster: &Cluster) -> Result<()> {
    let before = cluster.daemon()?;
    let outcome = cluster.try_up([])?;
    ensure!(outcome.code == 1, "{outcome}");
    let place = cluster.data_dir().display().to_string();
    let said = format!("error: a cluster is already running on {place}");
    ensure!(outcome.stderr.starts_with(&said) && outcome.stderr.trim_end().lines().count() == 1, "{outcome}");
    ensure!(cluster.daemon()? == before);
    cluster.kubectl(["get", "--raw", "/readyz"]).ok()?;
    Ok(())
}

fn starts_again_with_what_it_had(cluster: &mut Cluster, address: &str) -> Result<()> {
    cluster.up([])?;
    cluster.api().deployment_ready("hello")?;
    eventually("the old address answers", || Ok(cluster.http_get(address, 80).ok()))?;
    cluster.down_leaves_nothing()
}

#[test]
fn what_keeps_it_from_starting_is_said_in_one_sentence() -> Result<()> {
    with_place(|cluster| {
        let listener = cluster.namespace.run(|| std::net::TcpListener::bind("127.0.0.1:6443"))??;
        refused(cluster, "port 6443 is in use on this machine: choose another with --api-port")?;
        drop(listener);

        fs::create_dir_all(cluster.data_dir())?;
        fs::write(cluster.data_dir().join("cluster.json"), "{")?;
        let damaged = format!("{}/cluster.json is damaged", cluster.data_dir().display());
        refused(cluster, &damaged)?;
        fs::remove_file(cluster.data_dir().join("cluster.json"))?;

        let down = cluster.down()?;
        let words = format!("error: there is no cluster in {}", cluster.data_dir().display());
        ensure!(down.code == 1 && down.stderr.trim_end() == words, "{down}");
        let data = cluster.data_dir();
        cluster
            .home_setpoint(["kubeconfig", "--data-dir", &data.to_string_lossy()])
            .fails_with("there is no cluster")?;
        let words = "error: there is no kubeconfig: start a cluster with `setpoint up`";
        if !fs::exists("/var/lib/setpoint/kubeconfig")? {
            cluster.home_setpoint(["get", "pods"]).fails_with(words)?;
        }
        without_root(cluster)
    })
}

/// `up` fails, and its last line is this sentence.
fn refused(cluster: &Cluster, sentence: &str) -> Result<()> {
    let outcome = cluster.try_up([])?;
    let errors: Vec<&str> = outcome.stderr.lines().filter(|line| line.starts_with("error:")).collect();
    ensure!(
        outcome.code == 1 && errors.len() == 1 && errors[0].contains(sentence),
        "expected {sentence:?} of {outcome}"
    );
    ensure!(outcome.stderr.lines().last() == Some(errors[0]), "something follows the sentence: {outcome}");
    Ok(())
}

fn without_root(cluster: &Cluster) -> Result<()> {
    let Some(setpriv) = e2e::find_program("setpriv") else { return e2e::missing("giving up root needs setpriv") };
    // The binary may be in a folder that only root can enter.
    let copy = cluster.folder().join("setpoint");
    fs::copy(binary::setpoint()?, &copy)?;
    fs::set_permissions(cluster.folder(), fs::Permissions::from_mode(0o755))?;
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    let run =
        cluster.program(setpriv).args(nobody).args([&copy]).args(["up", "--data-dir", "/tmp/nowhere", "--detach"]);
    let outcome = run.fails_with("needs root, for namespaces, mounts and cgroups: run `sudo setpoint up`")?;
    ensure!(outcome.stderr.trim_end().lines().count() == 1, "{outcome}");
    Ok(())
}

#[test]
fn in_the_foreground_an_interrupt_takes_everything_down() -> Result<()> {
    with_place(|cluster| {
        let manifest = binary::repository().join("manifests/hello.yaml");
        let mut up = cluster.up_program().args(["-f", &manifest.to_string_lossy()]).start()?;
        up.line("the next command", |line| line.starts_with("Next:"))?;
        let containers = || e2e::host::processes("/setpoint\0demo");
        ensure!(containers()?.len() >= 3);
        cluster.kubectl(["get", "--raw", "/readyz"]).ok()?;
        let pid = rustix::process::Pid::from_raw(up.id().cast_signed()).context("a process id")?;
        rustix::process::kill_process(pid, rustix::process::Signal::INT)?;
        let outcome = up.finish()?;
        ensure!(outcome.code == 0 && outcome.stdout.contains("stopping the cluster; its data stays in"), "{outcome}");
        cluster.nothing_is_left()
    })
}

#[test]
fn what_is_applied_at_the_start_is_checked_like_anything_else() -> Result<()> {
    with_place(|cluster| {
        let missing = cluster.try_up(["-f", "nothing.yaml"])?;
        let words = "error: the path \"nothing.yaml\" does not exist";
        ensure!(missing.code == 1 && missing.stderr.lines().any(|line| line == words), "{missing}");
        cluster.down_leaves_nothing()?;
        let mut bad = e2e::objects::deployment("bad", 1);
        bad["spec"]["replicaz"] = 1.into();
        let file = cluster.file("bad.yaml", bad.to_string())?;
        let refused = cluster.try_up(["-f", &file.to_string_lossy()])?;
        let words = "strict decoding error: unknown field \"spec.replicaz\"";
        ensure!(refused.code == 1 && refused.stderr.contains(words), "{refused}");
        Ok(())
    })
}

#[test]
fn clusters_on_one_machine_leave_each_other_alone() -> Result<()> {
    with_place(|first| {
        let manifest = binary::repository().join("manifests/hello.yaml");
        let manifest = manifest.to_string_lossy();
        let greeted = first.up(["-f", &manifest])?;
        let address = greeting(&greeted.stdout, &first.home().join(".kube/config").to_string_lossy())?;
        with_neighbour(first, |second| {
            second.up(["-f", &manifest])?;
            let names =
                |cluster: &Cluster| cluster.kubectl(["get", "pods", "-o=jsonpath={.items[*].status.podIP}"]).ok();
            let (ours, theirs) = (names(first)?, names(second)?);
            ensure!(!ours.split(' ').any(|address| theirs.contains(address)), "{ours} {theirs}");
            three_pods_answer(first, &address)?;
            second.down_leaves_nothing()
        })?;
        three_pods_answer(first, &address)
    })
}

#[test]
fn a_damaged_store_is_said_in_one_sentence() -> Result<()> {
    with_place(|cluster| {
        if cluster.etcd().is_some() {
            // The store is not this program's then.
            return Ok(());
        }
        cluster.up([])?;
        cluster.down_leaves_nothing()?;
        let store = cluster.data_dir().join("store");
        let mut damaged = 0;
        for path in files(&store)? {
            let length = fs::metadata(&path)?.len() as usize;
            fs::write(&path, "x".repeat(length.max(64)))?;
            damaged += 1;
        }
        ensure!(damaged > 0, "the store has no files");
        refused(cluster, "damaged")
    })
}

#[test]
fn a_full_disk_is_said_in_one_sentence() -> Result<()> {
    with_place(|cluster| {
        fs::create_dir(cluster.data_dir())?;
        let small = SmallDisk::mount(&cluster.data_dir())?;
        refused(cluster, "No space left on device")?;
        drop(small);
        Ok(())
    })
}

/// A file system of two mebibytes, for as long as it lives.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn mount(path: &std::path::Path) -> Result<Self> {
        let options = c"size=2m";
        rustix::mount::mount("tmpfs", path, "tmpfs", rustix::mount::MountFlags::empty(), options)?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH);
    }
}

fn files(folder: &std::path::Path) -> Result<Vec<std::path::PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    Ok(found)
}
