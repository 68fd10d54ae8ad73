"""The metrics, one file each, behind one port.

base        the port
quantities  all figures that there are, and which file gives them
syncnet     LSE-C, LSE-D and the AV offset
lips        aperture against loudness: sync without a network
landmarks   distance of the lips' points from the recorded ones
mouth       PSNR and SSIM of the mouth
lpips       LPIPS of the mouth
sharpness   of the mouth, over the source's
flicker     of the mouth, over the source's
outside     the error where nothing should have changed
csim        is it still the same person?
fid         FID and KID of the face and the mouth
coverage    faces that went, mouths that froze
"""
