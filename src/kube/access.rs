//! Which API server to talk to: what the user names, and where it is looked for otherwise.

use std::path::PathBuf;

/// How a cluster's API server is found, in the order of `kubectl`: `--kubeconfig`, then KUBECONFIG,
/// then `~/.kube/config`; where there is none of them, the service account of the pod that this runs
/// in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KubeAccess {
    /// `--kubeconfig`; wins over everything else.
    pub kubeconfig: Option<PathBuf>,
    /// `--context`; none for the one that the file calls its current one.
    pub context: Option<String>,
    /// The files of KUBECONFIG; the first one that says a thing wins.
    pub environment: Vec<PathBuf>,
    /// The user's home folder.
    pub home: Option<PathBuf>,
}

/// Where a connection's settings are read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KubeSource {
    /// A file that has to be there.
    File(PathBuf),
    /// The files of KUBECONFIG that are there; never none.
    Merged(Vec<PathBuf>),
    /// The service account of this pod.
    Pod,
}

impl KubeAccess {
    /// Where to read from, given which files are there.
    ///
    /// As with `kubectl`, files of KUBECONFIG that are missing are passed over, as long as one is
    /// there; `~/.kube/config` is not looked at then.
    pub fn source(&self, is_there: impl Fn(&PathBuf) -> bool) -> KubeSource {
        if let Some(file) = &self.kubeconfig {
            return KubeSource::File(file.clone());
        }
        if let Some(first) = self.environment.first() {
            let there: Vec<PathBuf> =
                self.environment.iter().filter(|file| is_there(file)).cloned().collect();
            return match there.as_slice() {
                [] => KubeSource::File(first.clone()),
                _ => KubeSource::Merged(there),
            };
        }
        match self.home_file() {
            Some(file) if is_there(&file) => KubeSource::File(file),
            _ => KubeSource::Pod,
        }
    }

    /// `~/.kube/config`.
    pub fn home_file(&self) -> Option<PathBuf> {
        self.home.as_ref().map(|home| home.join(".kube").join("config"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(names: &[&str]) -> Vec<PathBuf> {
        names.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn what_is_named_wins_and_what_is_missing_is_passed_over() {
        let there = |file: &PathBuf| file.to_str().is_some_and(|name| !name.contains("missing"));
        let home = KubeAccess { home: Some("/home/me".into()), ..KubeAccess::default() };
        assert_eq!(home.source(there), KubeSource::File("/home/me/.kube/config".into()));
        assert_eq!(home.source(|_| false), KubeSource::Pod);

        let environment = |names| KubeAccess { environment: files(names), ..home.clone() };
        let some = environment(&["missing", "b", "c"]);
        assert_eq!(some.source(there), KubeSource::Merged(files(&["b", "c"])));
        let none = environment(&["missing", "missing-too"]);
        assert_eq!(
            none.source(there),
            KubeSource::File("missing".into()),
            "to be named as missing"
        );

        let flag = KubeAccess { kubeconfig: Some("missing".into()), ..some };
        assert_eq!(flag.source(there), KubeSource::File("missing".into()));
    }
}
