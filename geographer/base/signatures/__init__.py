"""Signatures and time stamps of texts, by keys of OpenSSL and OpenSSH, and by authorities of RFC 3161.

- `signature`     a signature with its public key, and whether it holds
- `public_keys`   public keys in the forms of OpenSSL (PEM) and OpenSSH, their fingerprints, and what they verify
- `ssh_format`    the format of SSH signatures (SSHSIG), as `ssh-keygen -Y` writes and reads it
- `private_keys`  sign with a private key, with a passphrase, or with a key that an SSH agent keeps
- `trusted_keys`  files of public keys with the names of those who sign: `allowed_signers` of OpenSSH, or PEM
- `time_stamps`   requests to time-stamping authorities, and what their responses prove
"""
