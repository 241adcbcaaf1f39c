//! What EBS takes.

use super::super::VolumeType;
use super::super::field::Field;
use super::super::fill::{GP3_IOPS_MIN, GP3_THROUGHPUT_MIN, IO_IOPS_MIN};
use super::Report;

/// A volume's settings, under the names its document gives them.
pub(super) struct VolumeCheck<'a> {
    pub(super) volume_type: VolumeType,
    pub(super) size: u32,
    pub(super) iops: Option<u32>,
    pub(super) throughput: Option<u32>,
    pub(super) encrypted: bool,
    pub(super) key: Option<&'a String>,
    pub(super) fields: VolumeFields,
}

/// Where the settings of a volume are.
pub(super) struct VolumeFields {
    pub(super) size: Field,
    pub(super) iops: Field,
    pub(super) throughput: Field,
    pub(super) key: Field,
}

/// Limits of EBS volumes; sizes in GiB, throughput in MiB a second.
///
/// Source: EC2 API reference, CreateVolume (`Size`, `Iops`, `Throughput`), of the year 2026: gp3 has
/// had 65,536 GiB, 80,000 operations and 2,000 MiB a second since September 2025. Ratios: EBS user
/// guide, `docs.aws.amazon.com/ebs/latest/userguide/general-purpose.html` (gp3: 500 operations a GiB,
/// 0.25 MiB for each operation) and `…/provisioned-iops.html` (io1: 50; io2: 1,000, since every io2
/// volume is a Block Express one as of 30 April 2025; kops still says 500).
pub(super) fn volume(report: &mut Report, volume: &VolumeCheck) {
    let name = volume.volume_type.name();
    let (size_min, size_max) = match volume.volume_type {
        VolumeType::Gp3 => (1, 65_536),
        VolumeType::Gp2 => (1, 16_384),
        VolumeType::Io2 => (4, 65_536),
        VolumeType::Io1 => (4, 16_384),
        VolumeType::Standard => (1, 1_024),
    };
    if !(size_min..=size_max).contains(&volume.size) {
        let message = format!("{name} volumes have {size_min} to {size_max} GiB");
        report.error(&volume.fields.size, message);
    }
    let (iops_min, iops_max, per_gib): (u32, u32, u32) = match volume.volume_type {
        VolumeType::Gp3 => (GP3_IOPS_MIN, 80_000, 500),
        VolumeType::Io1 => (IO_IOPS_MIN, 64_000, 50),
        VolumeType::Io2 => (IO_IOPS_MIN, 256_000, 1_000),
        VolumeType::Gp2 | VolumeType::Standard => (0, 0, 0),
    };
    match volume.iops {
        None => {}
        Some(_) if iops_max == 0 => {
            report.error(&volume.fields.iops, format!("{name} volumes have no such setting"));
        }
        Some(iops) if !(iops_min..=iops_max).contains(&iops) => {
            let message =
                format!("{name} volumes have {iops_min} to {iops_max} operations a second");
            report.error(&volume.fields.iops, message);
        }
        // What every gp3 volume has needs no size.
        Some(iops) if iops > GP3_IOPS_MIN || volume.volume_type != VolumeType::Gp3 => {
            let most = u64::from(volume.size) * u64::from(per_gib);
            if u64::from(iops) > most {
                let message = format!(
                    "{name} volumes have at most {per_gib} operations a second a GiB, here {most}"
                );
                report.error(&volume.fields.iops, message);
            }
        }
        Some(_) => {}
    }
    throughput(report, volume);
    if !volume.encrypted && volume.key.is_some() {
        let message = "a key is given, but encryption is switched off";
        report.error(&volume.fields.key, message);
    }
}

fn throughput(report: &mut Report, volume: &VolumeCheck) {
    const THROUGHPUT_MAX: u32 = 2_000;
    let Some(throughput) = volume.throughput else { return };
    let field = &volume.fields.throughput;
    if volume.volume_type != VolumeType::Gp3 {
        let name = volume.volume_type.name();
        report.error(field, format!("{name} volumes have no such setting"));
    } else if !(GP3_THROUGHPUT_MIN..=THROUGHPUT_MAX).contains(&throughput) {
        let range = format!("{GP3_THROUGHPUT_MIN} to {THROUGHPUT_MAX}");
        report.error(field, format!("gp3 volumes have {range} MiB a second"));
    } else if let Some(iops) = volume
        .iops
        .filter(|iops| *iops >= GP3_IOPS_MIN && u64::from(throughput) * 4 > u64::from(*iops))
    {
        let most = iops / 4;
        let message = format!(
            "gp3 volumes have at most 0.25 MiB a second for each operation a second, here {most}"
        );
        report.error(field, message);
    }
}
