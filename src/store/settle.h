/* SPDX-License-Identifier: Apache-2.0 */
/* Layers that are in the store before they are on the disk.
 *
 * Waiting for the disk takes longer than all the rest of a pull. So a pull only
 * notes, with the layer's row, in which boot of the machine its files were
 * written (layers.unsynced); store_settle(), run behind it, syncs them and takes
 * the note away. A process may die at any time without harm: the kernel has the
 * data. Only a layer whose note is of an earlier boot went through a power cut
 * unsynced; it counts as missing for the next pull, and before it is mounted it
 * is made again from its blob, whose digest tells whether that one survived. */
#pragma once

#include "layers.h"

#define BOOT_ID_SIZE 40

/* This boot's name; "" where the kernel gives none (then nothing is deferred). */
const char *boot_id(char out[BOOT_ID_SIZE]);
/* Put on disk what this boot has written and clear the notes. Slow. */
int store_settle(struct store *store, struct err *err) MUST_CHECK;
/* 1 when there is something to settle. */
int store_is_unsettled(struct store *store, struct err *err) MUST_CHECK;
/* Before @diffid is mounted: make it again if its note is of an earlier boot. */
int layer_repair(struct store *store, const char *diffid, struct err *err) MUST_CHECK;
