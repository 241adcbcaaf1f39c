//! What a machine asks of AWS about itself: as little as its role allows.
//!
//! An operator's run goes through [`super::Cloud::call`], under a lease. A machine has neither an
//! operator's rights nor a lease: it takes its own member's volume, says that it formatted it, and
//! completes its own launch.

use std::future::Future;

use super::CloudError;
use crate::resource::etcd_tag;

/// One machine's view of its account.
pub trait MachineCloud: Send + Sync {
    /// Who this machine is, and in which group: it asks the metadata service, whose answers no other
    /// machine gets. In the simulator it is the one machine of the group.
    ///
    /// # Errors
    /// When nothing answers: this is no machine of the cloud.
    fn this_instance(
        &self,
        auto_scaling_group_name: &str,
    ) -> impl Future<Output = Result<String, CloudError>> + Send;

    /// Finds the volumes of an etcd member by their tags. There should be one; more than one is for the
    /// caller to refuse.
    ///
    /// # Errors
    /// When the read fails beyond the retry layer's limits.
    fn member_volumes(
        &self,
        cluster: &str,
        etcd: &str,
        member: &str,
    ) -> impl Future<Output = Result<Vec<MemberVolume>, CloudError>> + Send;

    /// Attaches a volume to a machine. There is no call that detaches one: a volume that another
    /// machine holds comes free when that machine has ended.
    ///
    /// # Errors
    /// [`super::CloudErrorKind::InUse`] while another machine holds it.
    fn attach_volume(
        &self,
        volume_id: &str,
        instance_id: &str,
        device: &str,
    ) -> impl Future<Output = Result<(), CloudError>> + Send;

    /// Notes on a volume who is about to format it: for everybody else it counts as blank never again.
    /// Saying it twice does no harm.
    ///
    /// # Errors
    /// When the tag may not have been set; the volume must not be formatted then.
    fn mark_formatted(
        &self,
        volume_id: &str,
        value: &str,
    ) -> impl Future<Output = Result<(), CloudError>> + Send;

    /// Has a launch hook wait on for this machine.
    ///
    /// # Errors
    /// When the call fails; [`Hook::Gone`] is no failure.
    fn extend_launch(
        &self,
        launch: &Launch,
    ) -> impl Future<Output = Result<Hook, CloudError>> + Send;

    /// Says that this machine is up and may be counted.
    ///
    /// # Errors
    /// As [`MachineCloud::extend_launch`].
    fn complete_launch(
        &self,
        launch: &Launch,
    ) -> impl Future<Output = Result<Hook, CloudError>> + Send;
}

/// A member's volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberVolume {
    /// Its id, which is also its serial number.
    pub volume_id: String,
    /// The machine that holds it.
    pub attached_to: Option<String>,
    /// What its tag says of whoever was to format it: the machine. None if nobody ever was.
    pub formatted_by: Option<String>,
}

/// A launch that a hook holds back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// The machine's group.
    pub auto_scaling_group_name: String,
    /// The hook.
    pub hook: String,
    /// The machine.
    pub instance_id: String,
}

/// How a hook took what it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    /// It heard.
    Heard,
    /// It waits no more: completed before, timed out, or never there.
    Gone,
}

/// The tag that says which member of an etcd cluster a volume belongs to, and its value's beginning.
pub(crate) fn member_tag(etcd: &str, member: &str) -> (String, String) {
    (etcd_tag(etcd), format!("{member}/"))
}
