// Package checkpoint knows what a model, an adapter or a saved step is on disk.
//
// Weights are read with Open (a model directory, sharded or not) or OpenFile (one safetensors file), and written with
// WriteSharded or WriteSafetensors; a file is checked whole when it is opened, so that reading a tensor later fails
// only when the disk does. Everything is converted to float32 on the way in and to the wanted dtype on the way out.
//
// A checkpoint directory is made with Save, which shows either the old one or the new one and never half of either:
//
//	lock, err := checkpoint.Lock(dir)     // one run per output directory
//	defer lock.Unlock()
//	err = checkpoint.Sweep(dir)           // clear away what a killed run left
//	err = checkpoint.Save(dir, checkpoint.Name(20), func(tmp string) error {
//		return checkpoint.WriteSharded(tmp, tensors, checkpoint.DefaultShardBytes)
//	})
//	removed, err := checkpoint.Rotate(dir, 2, best)
//	err = checkpoint.Link(dir, "last", checkpoint.Name(20))
//
// Two caveats. A crash just while Save replaces a checkpoint of the same name can leave the old one, whole, under a
// name beginning with a dot; Sweep puts it back, so call it before List or Latest when a run begins. And the locks are
// flock locks: on a network file system that does not carry them they hold between processes of one machine only.
package checkpoint
