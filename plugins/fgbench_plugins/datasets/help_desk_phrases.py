"""The evidence phrases of the help-desk grammar and their class scores.

One phrase per line, after its scores: one letter per unit of score of a class, `a`ccess,
`n`etwork, `h`ardware or `b`illing. `aan` scores 2 for access and 1 for network, `-` scores 0 for
all classes. The phrases of a slot fit the same place in a sentence. No phrase may contain another,
word by word; the tests of the grammar check this because the posterior depends on it.
"""

from __future__ import annotations

SYMPTOM = """
aaa my password is rejected
aaa I am locked out of my account
aaa the sign-in page keeps sending me back
aa  the one-time code never arrives
aa  my account is shown as disabled
aa  the portal says that I have no permission
aa  I lost access to our team folder
aan I can't get into the shared drive
aan the remote desktop refuses me
aan the virtual desktop asks me to log in again and again
aan I can no longer reach the intranet
an  my mailbox does not open
an  the file server does not let me in
an  the booking system kicks me out
an  I get thrown out of every session
an  nothing loads past the first screen
ann the VPN drops me after a minute
ann the wireless asks for my credentials over and over
ann the secure gateway turns me away
nn  web pages take forever to load
nn  video calls freeze all the time
nn  uploads stall halfway
nn  the cloud folder stopped syncing
nnn there is no wireless signal at all
nnn the whole floor is offline
nnn the connection goes down every few minutes
nnn the wired socket at my desk is dead
anh the tablet does not register on the office network
nh  the print queue is not reachable
nh  the docking station loses the wired link
nh  the conference phone has no line
ah  the card reader does not accept my badge
ah  the fingerprint sensor does not know me any more
hh  the screen stays black
hh  the keyboard misses every second letter
hhh the battery dies within an hour
hhh the fan howls like a hair dryer
hhh the laptop does not switch on
hb  the replacement charger has not come
hb  the new headset was never delivered
bb  we were charged twice for the same seat
bbb the invoice shows the wrong amount
bbb our purchase order is missing from the bill
ab  my licence is reported as expired
ab  the subscription page does not recognise me
ab  I was moved to the free plan
nb  we pay for a faster line than we get
an  everything works for others but not for me
-   something is off and I can't work
-   the page shows nothing but an error
-   it fails and I have no idea why
-   the usual steps lead nowhere
-   I am stuck with a spinning wheel
"""

DETAIL = """
aaa the message says unknown user or wrong password
aaa it tells me that too many attempts were made
aa  it asks for a second factor that I never set up
aa  the reset link has expired
aa  my name is missing from the user list
aa  it shows somebody else's profile
aan the dialog mentions an invalid certificate
aan it complains about an authentication failure
an  the error code ends in 401
an  it works from home but not from here
an  it hangs at the welcome screen
an  the request was refused by the server
an  it stays at verifying and never ends
ann the gateway answers with access denied by policy
ann it only happens through the tunnel
nn  the error code ends in 504
nn  the status bar says limited connectivity
nn  pings come back with long delays
nnn the little globe icon has a red cross
nnn two colleagues next to me have no internet either
nnn the router blinks orange
nn  it is fine over my mobile hotspot
nn  the signal shows one bar at most
nh  the cable feels loose at the wall
nh  the adapter gets very warm
ah  the reader beeps twice and turns red
hh  there is a crack near the hinge
hhh a smell of burnt plastic comes from the back
hh  the lights on the front stay off
hb  the parcel number leads to an unknown order
bb  the total differs from the quote
bbb the tax line appears two times
ab  it says that no seat is assigned to me
nb  the provider lists the cheaper tariff
aa  my group membership seems to be gone
an  the window closes before I can read it
-   the same error comes up each time
-   it comes and goes without any pattern
-   the clock on the page is simply counting up
-   no message appears at all
-   a grey box asks me to try later
"""

CAUSE = """
aaa after I changed my password
aaa when my contract was renewed
aa  after my surname was updated
aa  when I got a new phone for the codes
aa  since I moved to another team
aan after the security policy was changed
aan when the old server was retired
an  after the maintenance on the weekend
an  when I came back from leave
an  after the last update
an  when we switched to the new portal
ann after the firewall was replaced
ann when I started working from home
nn  when the new access points went live
nn  after the move to the second floor
nnn when the builders drilled in the corridor
nnn after the power cut
nn  since the provider worked on the line
nh  after I swapped the docking cable
nh  when the switch cabinet was rewired
ah  since I got the new badge
hh  after a cup of tea went over it
hhh when it fell off the desk
hb  after the last delivery of equipment
bb  when the budget year changed
bbb after we cancelled two seats
ab  when the trial period ended
nb  since we signed the new line contract
an  when I plugged in at a different desk
-   out of the blue
-   while I was in a meeting
-   without any change on my side
-   in the middle of a report
"""

TRIED = """
aaa reset my password twice
aaa asked my manager to confirm my role
aa  tried the backup codes
aa  logged out on every device
aa  removed and added my profile
aan cleared the saved credentials
aan tried a private browser window
an  cleared the browser cache
an  tried another browser
an  signed in from a colleague's machine
an  reinstalled the client
ann renewed the certificate for the tunnel
ann forgotten the wireless profile and joined again
nn  switched to the guest network
nn  run the speed test three times
nnn restarted the router
nnn plugged in a different network cable
nn  flushed the name cache
nh  replaced the adapter
nh  moved closer to the access point
ah  cleaned the chip of the card
hh  held the power button for half a minute
hhh borrowed another charger
hh  checked every plug
hb  looked through the delivery notes
bb  compared it with the last statement
bbb called the accounts office
ab  entered the licence key again
nb  read the contract for the line
an  waited a full day
-   restarted everything
-   followed the guide on the help pages
-   searched the help pages
-   asked around in the team
"""

REQUEST = """
aaa unlock my account
aaa send me a new temporary password
aa  give me back my old permissions
aa  add me to the right group
aa  check which role I have
aan check whether I am allowed in from outside
aan register my machine again
an  look at the server log for my name
an  put me through to somebody who can let me in
an  test the address from your side
an  restore what I had last week
ann open the port for me
ann renew my remote access
nn  check the line to our building
nn  measure the signal in this corner
nnn send somebody to look at the router
nnn find out whether there is an outage
nn  give us a stable connection
nh  bring a longer network cable
nh  test the wall socket
ah  order a new badge for me
hh  send me a replacement
hhh pick it up for repair
hb  track the missing parcel
bb  correct the amount
bbb send us a new invoice
ab  assign a licence to me
nb  ask the provider for a refund
-   have a look
-   tell me what to do next
-   call me back
-   point me to the right form
"""

GUESS = """
aaa a mistyped user name
aaa my expired account
aa  the new sign-in rules
aa  a missing role
aan the single sign-on
aan an old certificate
an  the proxy
an  a wrong setting in my profile
an  the update from last night
ann the VPN client
ann the new firewall
nn  the wireless in this corner
nn  a slow line
nnn the cabling under the floor
nnn the access point above my desk
nh  a faulty adapter
ah  the chip in my badge
hh  a worn cable
hhh the mainboard
hb  a mix-up in the warehouse
bb  the new price list
bbb a booking error in accounts
ab  the licence server
nb  the tariff that we are on
-   the weather
-   plain bad luck
-   something on my side
-   a silly mistake of mine
"""

SLOTS: dict[str, str] = {
    "symptom": SYMPTOM,
    "detail": DETAIL,
    "cause": CAUSE,
    "tried": TRIED,
    "request": REQUEST,
    "guess": GUESS,
}
"""Slot name → its phrases, one per line: scores, blank, phrase."""
