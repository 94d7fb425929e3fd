"""From coded video to pictures with timestamps: probing, decoding, keyframes, shots, camera, colour."""
