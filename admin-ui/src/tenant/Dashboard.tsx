import { useState } from "react"
import type { Arrival } from "../arrival"
import { Shell } from "../Shell"
import { AcceptInvitation } from "./AcceptInvitation"
import { Overview } from "./Overview"

/** A tenant's host: the page of an invitation's link, if one led here, then the dashboard. */
export function Dashboard({ invitation, arrival }: { invitation?: string; arrival?: Arrival }) {
  const [token, setToken] = useState(invitation)
  if (token) return <AcceptInvitation token={token} onDone={() => setToken(undefined)} />
  return (
    <Shell title="Dashboard" arrival={arrival}>
      <Overview />
    </Shell>
  )
}
