// Names and numbers of virtio 1.4, section by section. Nothing here is ours.
// The host imports this file too, so it holds plain typed constants only.

// 2.1 Device Status Field
export const STATUS_ACKNOWLEDGE: u32 = 1;
export const STATUS_DRIVER: u32 = 2;
export const STATUS_DRIVER_OK: u32 = 4;
export const STATUS_FEATURES_OK: u32 = 8;
export const STATUS_SUSPEND: u32 = 16;
export const STATUS_DEVICE_NEEDS_RESET: u32 = 64;
export const STATUS_FAILED: u32 = 128;

// 6 Reserved Feature Bits, as bit numbers
export const VIRTIO_F_INDIRECT_DESC: u32 = 28;
export const VIRTIO_F_EVENT_IDX: u32 = 29;
export const VIRTIO_F_VERSION_1: u32 = 32;
export const VIRTIO_F_ACCESS_PLATFORM: u32 = 33;
export const VIRTIO_F_RING_PACKED: u32 = 34;
export const VIRTIO_F_IN_ORDER: u32 = 35;
export const VIRTIO_F_ORDER_PLATFORM: u32 = 36;
export const VIRTIO_F_NOTIFICATION_DATA: u32 = 38;
export const VIRTIO_F_NOTIF_CONFIG_DATA: u32 = 39;
export const VIRTIO_F_RING_RESET: u32 = 40;

// 2.6 Virtqueues
export const VIRTQ_MAX_SIZE: u32 = 32768;

// 2.7.5 The Virtqueue Descriptor Table: addr le64, len le32, flags le16, next le16
export const VIRTQ_DESC_SIZE: u32 = 16;
export const VIRTQ_DESC_F_NEXT: u32 = 1;
export const VIRTQ_DESC_F_WRITE: u32 = 2;
export const VIRTQ_DESC_F_INDIRECT: u32 = 4;

// 2.7.6 The Virtqueue Available Ring: flags le16, idx le16, ring[Q] le16, used_event le16
export const VIRTQ_AVAIL_F_NO_INTERRUPT: u32 = 1;
// 2.7.8 The Virtqueue Used Ring: flags le16, idx le16, ring[Q] { id le32, len le32 }, avail_event le16
export const VIRTQ_USED_F_NO_NOTIFY: u32 = 1;

// 2.8.13 The Virtqueue Descriptor Format (packed): addr le64, len le32, id le16, flags le16
export const VIRTQ_DESC_F_AVAIL: u32 = 1 << 7;
export const VIRTQ_DESC_F_USED: u32 = 1 << 15;

// 2.8.14 Event Suppression Structure Format: desc le16 (offset 0-14, wrap 15), flags le16
export const RING_EVENT_FLAGS_ENABLE: u32 = 0;
export const RING_EVENT_FLAGS_DISABLE: u32 = 1;
export const RING_EVENT_FLAGS_DESC: u32 = 2;

// 5.1.9 Network device: the header's length without optional fields
export const VIRTIO_NET_HDR_SIZE: u32 = 12;
