//! The log as containers really write it.

use crate::node::{eventually, on_node};

#[test]
fn long_lines_are_cut_and_files_rotate() {
    on_node("logs", |node| async move {
        node.sandbox("s").await;
        node.script("long", "head -c 40000 /dev/zero | tr '\\0' x 2>/dev/null || busybox tr '\\0' x </dev/zero | head -c 40000; echo; printf tail").await;
        let log = std::fs::read_to_string(node.log_path("long")).expect("log");
        let tags: Vec<(&str, usize)> = log
            .lines()
            .map(|line| {
                let mut fields = line.splitn(4, ' ');
                let time = fields.next().expect("time");
                assert!(time.len() == 30 && time.ends_with('Z'), "{time}");
                assert_eq!(fields.next(), Some("stdout"));
                (fields.next().expect("tag"), fields.next().expect("content").len())
            })
            .collect();
        // A last line without its newline is a part, as containerd writes it.
        assert_eq!(tags, [("P", 16384), ("P", 16384), ("F", 40000 - 2 * 16384), ("P", 4)]);

        let mut spec = node.spec("many", "seq 1 20000");
        (spec.log_max_bytes, spec.log_max_files) = (100_000, 3);
        node.run(spec).await;
        let dir = node.log_path("many").parent().expect("dir").to_owned();
        let mut names: Vec<_> =
            std::fs::read_dir(dir).expect("list").map(|it| it.expect("entry").file_name()).collect();
        names.sort();
        assert_eq!(names, ["0.log", "0.log.1", "0.log.2"]);
        assert!(node.output("many").ends_with("19999\n20000\n"));
    });
}

#[test]
fn a_line_is_logged_as_soon_as_it_is_written() {
    on_node("live", |node| async move {
        node.sandbox("s").await;
        node.start_container(node.spec("slow", "echo first; sleep 1000")).await.expect("start");
        eventually("the first line", || node.output("slow").contains("first").then_some(())).await;
        node.runtime.remove_container("slow").await.expect("remove kills it");
        assert!(node.status("slow").await.is_none());
    });
}

#[test]
fn much_output_is_neither_lost_nor_mixed() {
    on_node("much", |node| async move {
        node.sandbox("s").await;
        let mut spec = node.spec("much", "seq 1 100000; seq 1 100000 >&2");
        spec.log_max_bytes = 0;
        let (exit, output) = node.run(spec).await;
        assert_eq!((exit.code, output.lines().count()), (0, 200_000));
        let expected = (1..=100_000).sum::<u64>() * 2;
        assert_eq!(output.lines().map(|line| line.parse::<u64>().expect("number")).sum::<u64>(), expected);
    });
}
