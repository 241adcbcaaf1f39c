//! Reading from the disk, and the fleet of this repository.

use super::*;

#[test]
fn the_fleet_of_the_repository_renders_and_every_line_is_known() {
    let tree = repository();
    let engine = Engine::new(&tree, &Limits::default());
    assert_eq!(show(&engine.unused()), "");
    let names: Vec<&str> = tree.cluster_names().collect();
    assert!(names.len() >= 2, "{names:?}");
    for name in names {
        let rendered = engine.render(name, &[]);
        assert_eq!(show(&rendered.findings), "", "{name}");
        assert!(rendered.documents.len() > 5);
        for document in &rendered.documents {
            let text = &rendered.texts[&document.file];
            for (at, line) in text.lines().enumerate() {
                let places = document.places(u32::try_from(at).unwrap() + 1);
                if !line.trim().is_empty() {
                    assert!(places[0].line.is_some(), "{} line {at}: {line}", document.file);
                }
            }
        }
    }
}

#[test]
fn files_that_cannot_be_read_are_findings_with_their_line() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for part in ["vars", "templates", "snippets/deep"] {
        std::fs::create_dir_all(root.join(part)).unwrap();
    }
    let write = |name: &str, bytes: &[u8]| std::fs::write(root.join(name), bytes).unwrap();
    write("vars/c.yaml", b"a: 1\nb: \xff\n");
    write("vars/d.yaml", b"\xef\xbb\xbfa: 1\n");
    write("snippets/big", &vec![b'x'; (1 << 20) + 1]);
    write("snippets/.hidden", b"\xff");
    std::os::unix::fs::symlink(root.join("snippets"), root.join("snippets/deep/up")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", root.join("snippets/zero")).unwrap();
    std::os::unix::fs::symlink(root.join("nowhere"), root.join("snippets/gone")).unwrap();
    let tree = load(root, &LoadLimits::default());
    let shown = show(&tree.findings);
    for message in [
        "Error [vars/c.yaml:2] byte 8 (0xff) is not UTF-8 (save the file as UTF-8)",
        "Error [snippets/big] the file is larger than 1048576 bytes",
        "Warning [snippets/deep/up] this folder was read already",
        "Error [snippets/zero] this is not a plain file",
        "Error [snippets/gone] cannot be read: no such file",
    ] {
        assert!(shown.contains(message), "{message}: {shown}");
    }
    assert_eq!(tree.findings.len(), 5, "{shown}");
    assert_eq!(tree.cluster_names().collect::<Vec<_>>(), ["c", "d"], "broken is not missing");

    write("doc.yaml", b"kind: A\n---\n# empty\n---\nkind: B\n");
    std::fs::File::create(root.join("huge.yaml")).unwrap().set_len(100 << 20).unwrap();
    let path = |name: &str| root.join(name).display().to_string();
    let files = [path("doc.yaml"), path("huge.yaml"), path("vars"), path("vars/c.yaml")];
    let (documents, findings) = load_documents(&files, &LoadLimits::default());
    assert_eq!(documents.len(), 2);
    assert_eq!(documents[1].places(5)[0].to_string(), format!("{}:5", files[0]));
    let shown = show(&findings);
    assert!(
        shown.contains("larger than 8388608 bytes") && shown.contains("is a folder"),
        "{shown}"
    );
    assert!(shown.contains("c.yaml:2] byte 8"), "{shown}");

    let nothing = load(&root.join("templates"), &LoadLimits::default());
    assert!(show(&nothing.findings).contains("this folder is not a fleet"));
}
